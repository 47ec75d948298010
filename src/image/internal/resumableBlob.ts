/** A blob as one stream, however often its connection breaks or stalls: the rest is asked for with a Range header. */
import { Cause, Effect, Exit, Scope, Stream } from "effect"
import type { HttpClientResponse } from "effect/http"
import {
  ContentMismatch,
  RegistryMisbehaved,
  RegistryUnreachable,
  TransferStalled,
  type RegistryError
} from "../RegistryError.ts"
import { backOff, timed } from "./backOff.ts"
import { contentLength, unreachable } from "./exchange.ts"

/** Connections in a row that may fail without useful progress. */
const attempts = 5
/** Bytes that count as progress: a server that drips slower than this within the patience is stalled. */
const usefulBytes = 16 * 1024

export interface BlobRequest {
  readonly host: string
  readonly what: string
  /** Bytes that the blob must have. */
  readonly size: number
  /** Milliseconds without useful progress after which the connection is replaced. */
  readonly patienceMs: number
  /** Milliseconds without useful progress over all connections after which the blob fails; 0: only `attempts` count. */
  readonly progressTimeoutMs: number
  /** Asks for the bytes from `offset` on. The answer is 200 or 206. */
  readonly open: (offset: number) => Effect.Effect<HttpClientResponse.HttpClientResponse, RegistryError, Scope.Scope>
}

/** Bytes of the body to leave out, because the server answered with more than was asked for. */
const bytesToSkip = (
  request: BlobRequest,
  response: HttpClientResponse.HttpClientResponse,
  offset: number
): Effect.Effect<number, RegistryError> => {
  const { host, what, size } = request
  const length = contentLength(response)
  if (response.status === 200) {
    return length === undefined || length === size
      ? Effect.succeed(offset)
      : Effect.fail(new ContentMismatch({ host, what, expected: `${size} bytes`, actual: `${length} bytes` }))
  }
  const range = /^bytes ([0-9]{1,15})-[0-9]{1,15}\/(\*|[0-9]{1,15})$/.exec(response.headers["content-range"] ?? "")
  if (offset === 0 || range === null || Number(range[1]) !== offset) {
    return Effect.fail(
      new RegistryMisbehaved({ host, what, reason: `not the range from byte ${offset} that was asked for` })
    )
  }
  return range[2] === "*" || Number(range[2]) === size
    ? Effect.succeed(0)
    : Effect.fail(new ContentMismatch({ host, what, expected: `${size} bytes`, actual: `${range[2]} bytes` }))
}

type Chunks = readonly [Uint8Array, ...Array<Uint8Array>]

interface Connection {
  readonly scope: Scope.Closeable
  readonly pull: Effect.Effect<Chunks, RegistryError | Cause.Done>
  skip: number
  /** Milliseconds waited since the last useful progress on this connection. */
  waitedMs: number
}

export const resumableBlob = (request: BlobRequest): Stream.Stream<Uint8Array, RegistryError> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const { host, what, size, patienceMs, progressTimeoutMs } = request
      const streamScope = yield* Effect.scope
      let connection: Connection | undefined
      let received = 0
      let gained = 0
      let failures = 0
      let fruitlessMs = 0

      const connect = Effect.gen(function* () {
        const scope = yield* Scope.fork(streamScope)
        const offset = received
        const response = yield* request.open(offset).pipe(Scope.provide(scope))
        const skip = yield* bytesToSkip(request, response, offset)
        const body = yield* Stream.toPull(Stream.mapError(response.stream, unreachable(request))).pipe(
          Scope.provide(scope)
        )
        connection = { scope, pull: body, skip, waitedMs: 0 }
        return connection
      })

      const disconnect = Effect.suspend(() => {
        const open = connection
        connection = undefined
        return open === undefined ? Effect.void : Scope.close(open.scope, Exit.void)
      })

      const stalled = () => new TransferStalled({ host, what, seconds: patienceMs / 1000, received })

      const read = Effect.gen(function* () {
        const open = connection ?? (yield* connect)
        const [elapsed, exit] = yield* timed(
          open.pull.pipe(
            Effect.timeoutOrElse({
              duration: Math.max(patienceMs - open.waitedMs, 1),
              orElse: () => Effect.fail(stalled())
            })
          )
        )
        open.waitedMs += elapsed
        if (Exit.isSuccess(exit)) return exit.value
        const error = Cause.findErrorOption(exit.cause)
        if (error._tag === "Some" && Cause.isDone(error.value) && received < size) {
          const reason = `the connection ended after ${received} of ${size} bytes`
          return yield* new RegistryUnreachable({ host, what, reason })
        }
        return yield* Effect.failCause(exit.cause)
      })

      /** Drops what was received before, counts the rest, and refuses more than the descriptor promised. */
      const account = Effect.fnUntraced(function* (chunks: Chunks) {
        const fresh: Array<Uint8Array> = []
        for (const chunk of chunks) {
          const skip = Math.min(connection?.skip ?? 0, chunk.length)
          if (connection !== undefined) connection.skip -= skip
          if (skip < chunk.length) fresh.push(chunk.subarray(skip))
        }
        const bytes = fresh.reduce((sum, chunk) => sum + chunk.length, 0)
        received += bytes
        gained += bytes
        if (received > size) {
          return yield* new ContentMismatch({
            host,
            what,
            expected: `${size} bytes`,
            actual: `more than ${size} bytes`
          })
        }
        if (gained >= usefulBytes) {
          gained = 0
          failures = 0
          fruitlessMs = 0
          if (connection !== undefined) connection.waitedMs = 0
        }
        return fresh
      })

      const recover = Effect.fnUntraced(function* (error: RegistryError) {
        yield* disconnect
        failures += 1
        gained = 0
        if (progressTimeoutMs > 0 && fruitlessMs >= progressTimeoutMs) return yield* error
        yield* backOff(error, failures, attempts)
        yield* Effect.logDebug(`${what}: asking ${host} again from byte ${received}: ${error.message}`)
      })

      const pull: Effect.Effect<Chunks, RegistryError | Cause.Done> = Effect.gen(function* () {
        while (true) {
          const [elapsed, exit] = yield* timed(read)
          fruitlessMs += elapsed
          if (Exit.isSuccess(exit)) {
            const [first, ...rest] = yield* account(exit.value)
            if (first !== undefined) return [first, ...rest]
            continue
          }
          const error = Cause.findErrorOption(exit.cause)
          if (error._tag === "None") return yield* Effect.failCause(exit.cause)
          if (Cause.isDone(error.value)) return yield* Effect.fail(error.value)
          yield* recover(error.value)
        }
      })
      return Stream.fromPull(Effect.succeed(pull))
    })
  )
