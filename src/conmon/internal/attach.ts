/** conmon's attach socket: packets of a byte that names the stream (2, 3) and up to 8 KiB; stdin goes the other way. */
import { type Cause, Deferred, Effect, Queue, type Scope, Stream } from "effect"
import type { LinuxError } from "../../linux/LinuxError.ts"
import type { Sockets } from "../../linux/Sockets.ts"

export interface Attachment {
  /** Both end when the connection does. For one reader each. */
  readonly stdout: Stream.Stream<Uint8Array, LinuxError>
  readonly stderr: Stream.Stream<Uint8Array, LinuxError>
  /** Waits while the container does not read. */
  readonly write: (data: Uint8Array) => Effect.Effect<void, LinuxError>
  /** Also ends the container's standard input, unless conmon runs with --leave-stdin-open. */
  readonly endWrite: Effect.Effect<void>
  /** Completes when conmon has closed the connection: the container has ended, or conmon has. */
  readonly ended: Effect.Effect<void>
  /** Bytes for which there was no room because the client does not read. */
  readonly dropped: Effect.Effect<number>
}

export interface WantedStreams {
  readonly stdout: boolean
  readonly stderr: boolean
}

const STDOUT = 2
const STDERR = 3

/** conmon reads no more than this at a time; of a longer packet it would lose the rest. */
const largestInput = 32 * 1024

/**
 * conmon has to read the end of a connection before a write to it fails. The other way round, which is what a connection
 * closed with unread output comes to, conmon 2.1.6 uses what it has freed and dies, and with it goes the container's exit.
 */
const farewell = "1 second"

/** Bytes kept for a client that does not read. conmon waits for its slowest client, and the container for conmon. */
const backlog = 1024 * 1024

const makeOutput = Effect.map(Queue.unbounded<Uint8Array, LinuxError | Cause.Done>(), (queue) => {
  let held = 0
  return {
    queue,
    /** False when there is no room. */
    offer: (data: Uint8Array): boolean => {
      if (held + data.length > backlog) return false
      held += data.length
      Queue.offerUnsafe(queue, data)
      return true
    },
    stream: Stream.fromQueue(queue).pipe(
      Stream.tap((data) =>
        Effect.sync(() => {
          held -= data.length
        })
      )
    )
  }
})

/** Reads from now to the end of its scope, whether or not anybody takes what is read. */
export const attachTo = Effect.fnUntraced(function* (
  sockets: Sockets["Service"],
  path: string,
  wanted: WantedStreams
): Effect.fn.Return<Attachment, LinuxError, Scope.Scope> {
  const connection = yield* sockets.connectPackets(path)
  const [stdout, stderr] = [yield* makeOutput, yield* makeOutput]
  const ended = yield* Deferred.make<void>()
  let dropped = 0
  const receive = (packet: Uint8Array) =>
    Effect.sync(() => {
      const output =
        packet[0] === STDOUT && wanted.stdout ? stdout : packet[0] === STDERR && wanted.stderr ? stderr : undefined
      const data = packet.subarray(1)
      if (output !== undefined && !output.offer(data)) dropped += data.length
    })
  yield* Stream.runForEach(connection.incoming, receive).pipe(
    Effect.onExit((exit) =>
      Effect.sync(() => {
        for (const { queue } of [stdout, stderr]) {
          if (exit._tag === "Success") Queue.endUnsafe(queue)
          else Queue.failCauseUnsafe(queue, exit.cause)
        }
        Deferred.doneUnsafe(ended, Effect.void)
      })
    ),
    // The streams carry the failure.
    Effect.ignore,
    Effect.forkScoped({ startImmediately: true })
  )
  // Runs while what comes is still read.
  yield* Effect.addFinalizer(() =>
    Effect.andThen(connection.endWrite, Effect.timeoutOption(Deferred.await(ended), farewell))
  )
  const pieces = (data: Uint8Array) =>
    Array.from({ length: Math.ceil(data.length / largestInput) }, (_, index) =>
      data.subarray(index * largestInput, (index + 1) * largestInput)
    )
  return {
    stdout: stdout.stream,
    stderr: stderr.stream,
    write: (data) => Effect.forEach(pieces(data), connection.write, { discard: true }),
    endWrite: connection.endWrite,
    ended: Deferred.await(ended),
    dropped: Effect.sync(() => dropped)
  }
})
