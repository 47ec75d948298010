/** An exec or an attachment over a WebSocket: `channel.k8s.io` and its later versions. */
import { Cause, Deferred, Effect, Queue, type Scope, Stream } from "effect"
import type { MessageConnection } from "../MessageConnection.ts"
import type { TerminalSize } from "../../linux/Terminal.ts"
import type { OutputChannel, Session, SessionShape, StreamStatus } from "../Session.ts"
import { type RemoteCommandVersion, statusMessage } from "../statusMessage.ts"
import { ConnectionLost } from "../StreamingError.ts"
import { terminalSize } from "../terminalSize.ts"
import { type ChannelFormat, decodeChannel, encodeChannel } from "./channels.ts"

const channels = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4 } as const

/** Pieces of stdin that wait for the process, each at most one message; the client is held back behind them. */
const stdinPieces = 4

export interface WebSocketOptions extends SessionShape {
  readonly version: RemoteCommandVersion
  readonly base64: boolean
}

const empty = new Uint8Array(0)

const formatOf = ({ base64, version, stdin, stdout, stderr, terminal }: WebSocketOptions): ChannelFormat => ({
  base64,
  closeSignal: version === 5,
  channels: new Set([
    channels.error,
    ...(stdin ? [channels.stdin] : []),
    ...(stdout ? [channels.stdout] : []),
    ...(stderr ? [channels.stderr] : []),
    ...(terminal ? [channels.resize] : [])
  ])
})

export const webSocketRemoteCommand = Effect.fnUntraced(function* (
  connection: MessageConnection,
  options: WebSocketOptions
): Effect.fn.Return<Session, ConnectionLost, Scope.Scope> {
  const { base64, version } = options
  const format = formatOf(options)
  const stdin = yield* Queue.bounded<Uint8Array, ConnectionLost | Cause.Done>(stdinPieces)
  const resizes = yield* Queue.sliding<TerminalSize, ConnectionLost | Cause.Done>(1)
  const finished = yield* Deferred.make<void>()
  const closedByClient = new Set<number>()
  let wantsStdin = options.stdin
  if (!wantsStdin) yield* Queue.end(stdin)

  const send = (channel: number, data: Uint8Array) => connection.send(encodeChannel(base64, channel, data))

  const onData = (channel: number, data: Uint8Array): Effect.Effect<unknown> => {
    if (channel === channels.stdin && wantsStdin && data.length > 0) return Queue.offer(stdin, data)
    if (channel !== channels.resize || !options.terminal) return Effect.void
    const size = terminalSize(Buffer.from(data).toString("utf8"))
    return size === undefined ? Effect.void : Queue.offer(resizes, size)
  }

  const onClose = (channel: number): Effect.Effect<unknown> => {
    closedByClient.add(channel)
    return channel === channels.stdin ? Queue.end(stdin) : Effect.void
  }

  const demultiplex = connection.messages.pipe(
    Stream.runForEach((message): Effect.Effect<unknown, ConnectionLost> => {
      const decoded = decodeChannel(format, message)
      switch (decoded._tag) {
        case "Data":
          return onData(decoded.channel, decoded.data)
        case "Close":
          return onClose(decoded.channel)
        case "Ignore":
          return Effect.void
        case "Violation":
          return Effect.andThen(
            connection.close(1002, decoded.reason),
            new ConnectionLost({ reason: `the client sent ${decoded.reason}` })
          )
      }
    })
  )
  // Older versions have no other way to say that stdin ends than to end it all.
  yield* demultiplex.pipe(
    Effect.matchCauseEffect({
      onSuccess: () => Effect.andThen(Queue.end(stdin), Queue.end(resizes)),
      onFailure: (cause) => Effect.andThen(Queue.failCause(stdin, cause), Queue.failCause(resizes, cause))
    }),
    Effect.forkScoped({ startImmediately: true })
  )

  // Tells a client that has nothing to send that the streams are there.
  const firstChannel = options.stdout ? channels.stdout : options.stderr ? channels.stderr : channels.error
  yield* send(firstChannel, empty)

  const write = (name: OutputChannel, data: Uint8Array) =>
    options[name] && !closedByClient.has(channels[name]) && data.length > 0 ? send(channels[name], data) : Effect.void

  const closeStdin = Effect.suspend(() => {
    wantsStdin = false
    return Effect.andThen(Queue.end(stdin), Effect.ignore(Queue.clear(stdin)))
  })

  const finish = Effect.fnUntraced(function* (status: StreamStatus) {
    // What the client still sends shall not keep it from being heard.
    yield* closeStdin
    const text = statusMessage(status, version)
    if (text !== "") yield* Effect.ignore(send(channels.error, Buffer.from(text)))
    yield* connection.close(1000, "")
    yield* Deferred.succeed(finished, undefined)
  })

  return {
    stdin: Stream.fromQueue(stdin),
    resizes: Stream.fromQueue(resizes),
    write,
    closeStdin,
    finish,
    gone: Effect.raceFirst(connection.gone, Deferred.await(finished))
  }
})
