/** A SPDY/3.1 connection as its client sees it: the streams that it opens, what comes on each, and whether it is over. */
import { Effect, Result, type Scope } from "effect"
import { request } from "node:http"
import type { Duplex } from "node:stream"
import { encodeData, encodeFrame, type Frame, type Sendable, splitData } from "../../streaming/spdy/frames.ts"
import { makeFrameReader } from "../../streaming/spdy/frameReader.ts"
import { makeHeaderDeflater } from "../../streaming/spdy/headerCompression.ts"
import { RpcFailure } from "../Cri.ts"
import { makeSignal, type Signal } from "./signal.ts"

export interface SpdyChannel {
  /** As its data is told apart. */
  readonly channel: number
  readonly headers: Readonly<Record<string, string>>
  /** The session is over when the server has ended all of these. */
  readonly awaited: boolean
}

export interface SpdyClient {
  /** The protocol that the server has chosen. */
  readonly protocol: string
  /** Undefined while a stream that is awaited is open. */
  readonly ended: () => "in order" | "lost" | undefined
  readonly send: (channel: number, data: Uint8Array) => Effect.Effect<void, RpcFailure>
  /** FIN. */
  readonly endChannel: (channel: number) => Effect.Effect<void, RpcFailure>
  /** Looks again after whatever comes, and after the end. */
  readonly until: Signal["until"]
  /** Reads no more: what the server sends stays on its way. */
  readonly stopReading: Effect.Effect<void>
}

export interface SpdyOptions {
  readonly url: URL
  /** For failures: "Exec". */
  readonly rpc: string
  /** The best first. */
  readonly protocols: ReadonlyArray<string>
  readonly socket: Duplex
  /** Opened at once, in this order. */
  readonly channels: ReadonlyArray<SpdyChannel>
  readonly onData: (channel: number, data: Uint8Array) => void
}

interface Opened {
  readonly channel: SpdyChannel
  answered: boolean
  /** The server sends nothing more on it. */
  over: boolean
}

const upgrade = ({ url, rpc, protocols, socket }: SpdyOptions) =>
  Effect.callback<{ readonly protocol: string; readonly head: Uint8Array }, RpcFailure>((resume) => {
    const fail = (code: string, details: string) => resume(Effect.fail(new RpcFailure({ rpc, code, details })))
    const call = request({
      method: "POST",
      path: `${url.pathname}${url.search}`,
      headers: {
        Host: url.host,
        Connection: "Upgrade",
        Upgrade: "SPDY/3.1",
        "X-Stream-Protocol-Version": [...protocols]
      },
      createConnection: () => socket
    })
    call.on("upgrade", ({ headers }, _, head: Buffer) =>
      resume(Effect.succeed({ protocol: String(headers["x-stream-protocol-version"] ?? ""), head }))
    )
    call.on("response", ({ statusCode, statusMessage = "" }) => fail(`HTTP_${statusCode}`, statusMessage))
    call.on("error", ({ message }) => fail("CONNECTION", message))
    call.end()
    return Effect.sync(() => void call.destroy())
  })

/** Answers once the server has taken every stream. Cut with the scope of its socket. */
export const openSpdy = Effect.fnUntraced(function* (
  options: SpdyOptions
): Effect.fn.Return<SpdyClient, RpcFailure, Scope.Scope> {
  const { rpc, socket, onData } = options
  const { protocol, head } = yield* upgrade(options)
  const { wake, until } = makeSignal()
  const frames = makeFrameReader()
  const deflate = makeHeaderDeflater()
  // A client's streams have odd ids.
  const opened = new Map(
    options.channels.map((channel, index): [number, Opened] => [
      2 * index + 1,
      { channel, answered: false, over: false }
    ])
  )
  let broken: string | undefined
  let farewell = false
  const failure = (details: string) => new RpcFailure({ rpc, code: "CONNECTION", details })

  const write = (bytes: Uint8Array) =>
    Effect.callback<void, RpcFailure>((resume) => {
      if (broken !== undefined) return resume(Effect.fail(failure(broken)))
      socket.write(bytes, (error) =>
        resume(error === null || error === undefined ? Effect.void : Effect.fail(failure(error.message)))
      )
    })
  const sendFrame = (frame: Sendable) => write(encodeFrame(frame, deflate))

  const onFrame = (frame: Frame) => {
    if (frame._tag === "GoAway") farewell = true
    // The server's own: it wants to know whether we are there.
    if (frame._tag === "Ping" && frame.id % 2 === 0) socket.write(encodeFrame(frame, deflate))
    const stream = "streamId" in frame ? opened.get(frame.streamId) : undefined
    if (stream === undefined) return
    if (frame._tag === "SynReply") stream.answered = true
    if (frame._tag === "Data" && frame.data.length > 0) onData(stream.channel.channel, frame.data)
    if (frame._tag === "RstStream") {
      if (!stream.answered) {
        broken ??= `the server refused the stream ${stream.channel.headers["streamtype"]} (${frame.status})`
      }
      stream.over = true
    }
    if ("fin" in frame && frame.fin) stream.over = true
  }
  const onBytes = (bytes: Uint8Array) => {
    frames.push(bytes)
    for (;;) {
      const frame = frames.next()
      if (Result.isFailure(frame)) {
        broken ??= `the server's frames cannot be read: ${frame.failure.reason}`
        socket.destroy()
        break
      }
      if (frame.success === undefined) break
      onFrame(frame.success)
    }
    wake()
  }
  const onEnd = () => {
    broken ??= "the connection was lost"
    wake()
  }
  onBytes(head)
  socket.on("data", onBytes)
  for (const event of ["end", "close", "error"] as const) socket.on(event, onEnd)

  const streams = [...opened.values()]
  const ended = () => {
    if (streams.every(({ channel, over }) => over || !channel.awaited)) return "in order"
    if (broken === undefined) return undefined
    return farewell ? "in order" : "lost"
  }
  const idOf = (channel: number) => [...opened].find(([, stream]) => stream.channel.channel === channel)?.[0]
  const onStream = (channel: number, ask: (streamId: number) => Effect.Effect<void, RpcFailure>) => {
    const id = idOf(channel)
    return id === undefined ? Effect.fail(failure(`there is no stream for channel ${channel}`)) : ask(id)
  }

  for (const [streamId, { channel }] of opened) {
    const headers = new Map(Object.entries(channel.headers).map(([name, value]) => [name, [value]] as const))
    yield* sendFrame({ _tag: "SynStream", streamId, fin: false, unidirectional: false, headers })
  }
  yield* until(() => broken !== undefined || streams.every(({ answered }) => answered))
  if (broken !== undefined) return yield* failure(broken)
  return {
    protocol,
    ended,
    send: (channel, data) => onStream(channel, (id) => Effect.forEach(splitData(id, data), write, { discard: true })),
    endChannel: (channel) => onStream(channel, (id) => write(encodeData(id, new Uint8Array(0), true))),
    until,
    stopReading: Effect.sync(() => void socket.pause())
  }
})
