/** The streams of a process and those of its client, joined. */
import { Deferred, Effect, Option, type Scope, Stream } from "effect"
import type { LinuxError } from "../linux/LinuxError.ts"
import type { ProcessStreams } from "../pod/ProcessStreams.ts"
import type { TerminalSize } from "../linux/Terminal.ts"
import type { OutputChannel, Session } from "./Session.ts"

/** A client says how large its terminal is as soon as it may; programs that look at once shall see that. */
const sizeWithin = "200 millis"

export interface Sizes {
  /** Waits a moment for it; none without a terminal. */
  readonly first: Effect.Effect<TerminalSize | undefined>
  /** The last one that came, and all that come. */
  readonly follow: (process: ProcessStreams) => Effect.Effect<void>
}

/** The sizes of the client's terminal, read until the scope closes. */
export const sizesOf = Effect.fnUntraced(function* (
  { resizes }: Session,
  terminal: boolean
): Effect.fn.Return<Sizes, never, Scope.Scope> {
  const first = yield* Deferred.make<TerminalSize>()
  let last: TerminalSize | undefined
  let process: ProcessStreams | undefined
  yield* resizes.pipe(
    Stream.runForEach((size) => {
      last = size
      return Effect.andThen(Deferred.succeed(first, size), process?.resize(size) ?? Effect.void)
    }),
    Effect.ignore,
    Effect.forkScoped({ startImmediately: true })
  )
  return {
    first: terminal
      ? Effect.map(Effect.timeoutOption(Deferred.await(first), sizeWithin), Option.getOrUndefined)
      : Effect.undefined,
    follow: (started) =>
      Effect.suspend(() => {
        process = started
        return last === undefined ? Effect.void : started.resize(last)
      })
  }
})

/** Until the scope closes. The process's input ends with the client's, and with the client. */
export const relayInput = Effect.fnUntraced(function* (
  session: Session,
  process: ProcessStreams
): Effect.fn.Return<void, never, Scope.Scope> {
  yield* session.stdin.pipe(
    Stream.runForEach(process.write),
    Effect.catchTags({ LinuxError: () => session.closeStdin, ConnectionLost: () => Effect.void }),
    Effect.ensuring(process.closeStdin),
    Effect.forkScoped({ startImmediately: true })
  )
})

/**
 * Everything that the process writes, until it writes no more. It waits for a client that is slow, but for nobody once
 * the client is gone: what it writes then is dropped. Fails when a stream cannot be read to its end, after the other has
 * ended: the client must not take what it has for all.
 */
export const relayOutput = (session: Session, process: ProcessStreams): Effect.Effect<void, LinuxError> => {
  const relay = (channel: OutputChannel, output: Stream.Stream<Uint8Array, LinuxError>) => {
    let lost = false
    const lose = () =>
      Effect.sync(() => {
        lost = true
      })
    return output.pipe(
      Stream.runForEach((data) => (lost ? Effect.void : Effect.catch(session.write(channel, data), lose))),
      Effect.tapError(({ message }) => Effect.logWarning(`the rest of ${channel} is lost: ${message}`)),
      Effect.exit
    )
  }
  return Effect.all([relay("stdout", process.stdout), relay("stderr", process.stderr)], {
    concurrency: "unbounded"
  }).pipe(Effect.flatMap(([stdout, stderr]) => Effect.andThen(stdout, stderr)))
}
