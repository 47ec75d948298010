/** An exec or an attachment over SPDY: `channel.k8s.io` to `v4.channel.k8s.io`. */
import { type Cause, Effect, Queue, type Scope, Stream } from "effect"
import { Buffer } from "node:buffer"
import type { TerminalSize } from "../../linux/Terminal.ts"
import type { ByteConnection, OutputChannel, Session, SessionShape, StreamStatus } from "../Session.ts"
import { statusMessage } from "../statusMessage.ts"
import { ConnectionLost } from "../StreamingError.ts"
import { openConnection, type SpdyConnection, type SpdyStream } from "./Connection.ts"
import type { Headers } from "./headers.ts"
import { makeResizeParser } from "./resizes.ts"

export interface SpdyRemoteCommandOptions extends SessionShape {
  /** N of `vN.channel.k8s.io`; `channel.k8s.io` is 1. */
  readonly version: 1 | 2 | 3 | 4
  /** Milliseconds until the client must have opened all streams that it asked for. */
  readonly creationTimeoutMs: number
}

type StreamType = "error" | "stdin" | "stdout" | "stderr" | "resize"

const streamTypes: ReadonlySet<string> = new Set<StreamType>(["error", "stdin", "stdout", "stderr", "resize"])

const firstWithResize = 3

const typeOf = (headers: Headers): string => headers.get("streamtype")?.[0] ?? ""

const expectedTypes = (options: SpdyRemoteCommandOptions): ReadonlyArray<StreamType> => [
  "error",
  ...(options.stdin ? (["stdin"] as const) : []),
  ...(options.stdout ? (["stdout"] as const) : []),
  ...(options.stderr ? (["stderr"] as const) : []),
  ...(options.terminal && options.version >= firstWithResize ? (["resize"] as const) : [])
]

/** Waits for the expected streams; others of the protocol are taken and left alone. */
const collect = Effect.fnUntraced(function* (spdy: SpdyConnection, expected: ReadonlyArray<StreamType>) {
  const streams = new Map<string, SpdyStream>()
  while (!expected.every((type) => streams.has(type))) {
    const stream = yield* Queue.take(spdy.streams).pipe(
      Effect.mapError(() => new ConnectionLost({ reason: "the client left before it had opened its streams" }))
    )
    const type = typeOf(stream.headers)
    streams.set(type, stream)
    // Nobody asked for what comes there; and nothing but stdin and resize comes at all.
    const wanted = (type === "stdin" || type === "resize") && expected.includes(type)
    if (!wanted) yield* stream.discard
  }
  return streams
})

/** A size that nobody has taken yet gives way to a newer one. */
const latestSizes = Effect.fnUntraced(function* (stream: SpdyStream) {
  const sizes = yield* Queue.sliding<TerminalSize, ConnectionLost | Cause.Done>(1)
  const parse = makeResizeParser()
  yield* stream.incoming.pipe(
    Stream.runForEach((bytes) => Queue.offerAll(sizes, parse(bytes))),
    Queue.into(sizes),
    Effect.forkScoped({ startImmediately: true })
  )
  return Stream.fromQueue(sizes)
})

/**
 * Serves the client's side of an exec or an attachment, once all of its streams are open. Fails, and closes the
 * connection, when they are not in time or the client leaves before. The session ends with the scope.
 */
export const spdyRemoteCommand = Effect.fn("spdyRemoteCommand")(function* (
  connection: ByteConnection,
  options: SpdyRemoteCommandOptions
): Effect.fn.Return<Session, ConnectionLost, Scope.Scope> {
  const expected = expectedTypes(options)
  const taken = new Set<string>()
  const spdy = yield* openConnection(connection, {
    maxStreams: streamTypes.size,
    // A stream of each kind; a second one would take the first one's place.
    accepts: (headers) => {
      const type = typeOf(headers)
      if (!streamTypes.has(type) || taken.has(type)) return false
      taken.add(type)
      return true
    }
  })
  const streams = yield* collect(spdy, expected).pipe(
    Effect.timeoutOrElse({
      duration: options.creationTimeoutMs,
      orElse: () => {
        const missing = expected.filter((type) => !taken.has(type)).join(", ")
        const reason = `the client did not open its streams within ${options.creationTimeoutMs} ms, ${missing} missing`
        return Effect.andThen(spdy.close, new ConnectionLost({ reason }))
      }
    })
  )
  const stdin = expected.includes("stdin") ? streams.get("stdin") : undefined
  const resize = expected.includes("resize") ? streams.get("resize") : undefined
  const resizes = resize === undefined ? Stream.empty : yield* latestSizes(resize)

  const write = (channel: OutputChannel, data: Uint8Array) => streams.get(channel)?.write(data) ?? Effect.void

  const closeStdin = stdin === undefined ? Effect.void : Effect.andThen(stdin.discard, stdin.end)

  const end = (type: StreamType) => streams.get(type)?.end ?? Effect.void

  const finish = Effect.fnUntraced(function* (status: StreamStatus) {
    // What the client still sends shall not keep it from being heard.
    if (stdin !== undefined) yield* stdin.discard
    yield* end("stdout")
    yield* end("stderr")
    const text = statusMessage(status, options.version)
    if (text !== "") yield* Effect.ignore(streams.get("error")?.write(Buffer.from(text)) ?? Effect.void)
    yield* end("error")
    yield* spdy.close
  })

  return {
    stdin: stdin?.incoming ?? Stream.empty,
    resizes,
    write,
    closeStdin,
    finish,
    gone: spdy.gone
  }
})
