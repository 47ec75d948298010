/**
 * Port forwarding over SPDY, `portforward.k8s.io`: each connection to a port is a pair of streams, one for data and one
 * that says why it failed.
 */
import { type Cause, Effect, Fiber, Queue, type Scope, Stream } from "effect"
import { Buffer } from "node:buffer"
import type { ByteConnection, Forward, PortForwardSession } from "../Session.ts"
import { openConnection, type SpdyStream } from "./Connection.ts"
import type { Headers } from "./headers.ts"

export interface SpdyPortForwardOptions {
  /** Milliseconds from a pair's first stream to its second. */
  readonly creationTimeoutMs: number
}

type Role = "error" | "data"

/** A pair whose other stream has not come. */
interface Half {
  readonly role: Role
  readonly stream: SpdyStream
  readonly expiry: Fiber.Fiber<void>
}

// Connections at a time, by two. A browser opens six to a server.
const maxStreams = 1024

const roleOf = (headers: Headers): Role | undefined => {
  const type = headers.get("streamtype")?.[0]
  return type === "error" || type === "data" ? type : undefined
}

const portOf = (headers: Headers): number | undefined => {
  const text = headers.get("port")?.[0] ?? ""
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0
  return port >= 1 && port <= 65_535 ? port : undefined
}

/** What both streams of a pair have in common: a name, or with old clients that the error stream is opened first. */
const pairKey = (stream: SpdyStream, role: Role): string => {
  const requestId = stream.headers.get("requestid")?.[0] ?? ""
  if (requestId !== "") return `request ${requestId}`
  return `stream ${role === "error" ? stream.id : stream.id - 2}`
}

const text = (message: string) => Buffer.from(message)

const makeForward = Effect.fnUntraced(function* (port: number, data: SpdyStream, error: SpdyStream) {
  // Clients that half-close neither stream would else use up the streams that a connection may have.
  const endErrors = Effect.andThen(error.end, error.reset)
  // A client whose data stream is over waits for the end of the error stream.
  yield* data.closed.pipe(Effect.andThen(endErrors), Effect.forkScoped({ startImmediately: true }))
  const close = Effect.andThen(data.end, data.reset)
  return {
    port,
    incoming: data.incoming,
    write: data.write,
    endWrite: data.end,
    fail: (message) => Effect.ignore(error.write(text(message))).pipe(Effect.andThen(endErrors), Effect.andThen(close)),
    close
  } satisfies Forward
})

/** Serves a client's forwarded connections until it is gone or the scope closes. */
export const spdyPortForward = Effect.fn("spdyPortForward")(function* (
  connection: ByteConnection,
  { creationTimeoutMs }: SpdyPortForwardOptions
): Effect.fn.Return<PortForwardSession, never, Scope.Scope> {
  const spdy = yield* openConnection(connection, {
    maxStreams,
    accepts: (headers) => roleOf(headers) !== undefined && portOf(headers) !== undefined
  })
  const halves = new Map<string, Half>()
  const forwards = yield* Queue.unbounded<Forward, Cause.Done>()

  /** Half a pair is of no use: says so where there is an error stream. */
  const expire = Effect.fnUntraced(function* (key: string, role: Role, stream: SpdyStream) {
    yield* Effect.timeoutOption(stream.closed, creationTimeoutMs)
    halves.delete(key)
    if (role === "error") {
      const port = portOf(stream.headers)
      const message = `error forwarding port ${port}: the client did not open the data stream of ${key} in time`
      yield* Effect.ignore(stream.write(text(message)))
      yield* stream.end
    }
    yield* stream.reset
  })

  const pair = Effect.fnUntraced(function* (stream: SpdyStream) {
    const role = roleOf(stream.headers) ?? "error"
    const key = pairKey(stream, role)
    if (role === "error") yield* stream.discard
    const other = halves.get(key)
    if (other === undefined) {
      const expiry = yield* Effect.forkScoped(expire(key, role, stream), { startImmediately: true })
      halves.set(key, { role, stream, expiry })
      return
    }
    if (other.role === role) {
      yield* stream.reset
      return
    }
    halves.delete(key)
    yield* Fiber.interrupt(other.expiry)
    const [data, error] = role === "data" ? [stream, other.stream] : [other.stream, stream]
    const port = portOf(data.headers) ?? 0
    yield* Queue.offer(forwards, yield* makeForward(port, data, error))
  })

  yield* Queue.take(spdy.streams).pipe(
    Effect.flatMap(pair),
    Effect.forever,
    Queue.into(forwards),
    Effect.forkScoped({ startImmediately: true })
  )

  return { forwards: Stream.fromQueue(forwards), close: spdy.close, gone: spdy.gone }
})
