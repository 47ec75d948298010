/**
 * Port forwarding over a WebSocket, `v4.channel.k8s.io`: the ports are those of the CRI request, each with a channel for
 * data and one for errors, one connection per port.
 */
import { type Cause, Effect, Queue, type Scope, Stream } from "effect"
import type { MessageConnection } from "../MessageConnection.ts"
import type { Forward, PortForwardSession } from "../Session.ts"
import { ConnectionLost } from "../StreamingError.ts"
import { decodeChannel, encodeChannel } from "./channels.ts"

/** Pieces of data that wait for the pod, each at most one message. */
const dataPieces = 4

type Pieces = Queue.Queue<Uint8Array, ConnectionLost | Cause.Done>

export interface WebSocketPortForwardOptions {
  /** At least one, in the order of their channels; each 1 to 65535. */
  readonly ports: ReadonlyArray<number>
  readonly base64: boolean
}

/** Little endian, first on both channels of a port: clients check it. */
const portMessage = (port: number): Uint8Array => Uint8Array.of(port & 0xff, port >> 8)

export const webSocketPortForward = Effect.fnUntraced(function* (
  connection: MessageConnection,
  { ports, base64 }: WebSocketPortForwardOptions
): Effect.fn.Return<PortForwardSession, ConnectionLost, Scope.Scope> {
  const format = { base64, closeSignal: false, channels: new Set<number>() }
  const send = (channel: number, data: Uint8Array) => connection.send(encodeChannel(base64, channel, data))
  const pieces = new Map<number, Pieces>()

  const makeForward = Effect.fnUntraced(function* (port: number, index: number) {
    const [data, error] = [2 * index, 2 * index + 1] as const
    const incoming: Pieces = yield* Queue.bounded<Uint8Array, ConnectionLost | Cause.Done>(dataPieces)
    pieces.set(data, incoming)
    yield* send(data, portMessage(port))
    yield* send(error, portMessage(port))
    const close = Effect.gen(function* () {
      pieces.delete(data)
      yield* Queue.end(incoming)
      yield* Effect.ignore(Queue.clear(incoming))
    })
    return {
      port,
      incoming: Stream.fromQueue(incoming),
      write: (bytes) => (bytes.length === 0 ? Effect.void : send(data, bytes)),
      // A channel cannot be closed alone here; the connection is, once all of them are done.
      endWrite: Effect.void,
      fail: (message) => Effect.andThen(Effect.ignore(send(error, Buffer.from(message))), close),
      close
    } satisfies Forward
  })

  const forwards = yield* Effect.forEach(ports, makeForward)

  const demultiplex = connection.messages.pipe(
    Stream.runForEach((message): Effect.Effect<unknown, ConnectionLost> => {
      const decoded = decodeChannel(format, message)
      if (decoded._tag === "Violation") return new ConnectionLost({ reason: `the client sent ${decoded.reason}` })
      if (decoded._tag !== "Data" || decoded.data.length === 0) return Effect.void
      const queue = pieces.get(decoded.channel)
      return queue === undefined ? Effect.void : Queue.offer(queue, decoded.data)
    })
  )
  const endAll = (end: (queue: Pieces) => Effect.Effect<unknown>) =>
    Effect.suspend(() => Effect.forEach(Array.from(pieces.values()), end, { discard: true }))
  yield* demultiplex.pipe(
    Effect.matchCauseEffect({
      onSuccess: () => endAll(Queue.end),
      onFailure: (cause) => endAll((queue) => Queue.failCause(queue, cause))
    }),
    Effect.forkScoped({ startImmediately: true })
  )

  return { forwards: Stream.fromIterable(forwards), close: connection.close(1000, ""), gone: connection.gone }
})
