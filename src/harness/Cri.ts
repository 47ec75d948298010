/** A client of any CRI v1 socket, as effects: interrupting one cancels its call on the wire. */
import { Client, credentials, type ServiceError, status } from "@grpc/grpc-js"
import { Clock, Effect, Schema, type Scope } from "effect"
import { ImageServiceService, type MessageFns, RuntimeServiceService } from "../gen/runtime/v1/api.ts"

type Definitions = typeof RuntimeServiceService & typeof ImageServiceService

export type RpcName = keyof Definitions
export type Request<N extends RpcName> = Definitions[N] extends {
  readonly requestSerialize: (value: infer I) => Buffer
}
  ? I
  : never
export type Response<N extends RpcName> = Definitions[N] extends {
  readonly responseDeserialize: (bytes: Buffer) => infer O
}
  ? O
  : never

/** The target's answer was an error, or it gave none. */
export class RpcFailure extends Schema.TaggedError<RpcFailure>()("RpcFailure", {
  rpc: Schema.String,
  /** The gRPC code's name ("NOT_FOUND"). */
  code: Schema.String,
  details: Schema.String
}) {
  override get message(): string {
    return `${this.rpc}: ${this.code}: ${this.details}`
  }
}

export interface CallOptions {
  /** Milliseconds; the profile's limit for an answer unless told. */
  readonly deadlineMs?: number
}

export interface Cri {
  readonly call: <N extends RpcName>(
    name: N,
    request: Request<N>,
    options?: CallOptions
  ) => Effect.Effect<Response<N>, RpcFailure>
  /** Messages of a server stream go to `onMessage` until the effect is interrupted or the stream ends. */
  readonly stream: <N extends RpcName>(
    name: N,
    request: Request<N>,
    onMessage: (message: Response<N>) => void
  ) => Effect.Effect<void, RpcFailure>
}

interface Method {
  readonly path: string
  readonly requestSerialize: (value: unknown) => Buffer
  readonly responseDeserialize: (bytes: Buffer) => unknown
}

const isImageMethod = (name: RpcName): boolean => name in ImageServiceService

const methodOf = (name: RpcName): Method =>
  ({ ...RuntimeServiceService, ...ImageServiceService })[name] as unknown as Method

const failureOf = (rpc: string, error: ServiceError): RpcFailure =>
  new RpcFailure({ rpc, code: status[error.code] ?? String(error.code), details: error.details })

const channelOptions = {
  "grpc.max_receive_message_length": 64 << 20,
  // A daemon that was killed is back within a second: the default would come back later than that.
  "grpc.initial_reconnect_backoff_ms": 20,
  "grpc.min_reconnect_backoff_ms": 20,
  "grpc.max_reconnect_backoff_ms": 200
}

const open = (socket: string): Effect.Effect<Client, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => new Client(`unix:${socket}`, credentials.createInsecure(), channelOptions)),
    (client) => Effect.sync(() => client.close())
  )

export interface Sockets {
  /** Paths, without a scheme. */
  readonly runtime: string
  readonly image: string
  readonly defaultDeadlineMs: number
}

export const connect = Effect.fnUntraced(function* (sockets: Sockets): Effect.fn.Return<Cri, never, Scope.Scope> {
  const runtime = yield* open(sockets.runtime)
  const image = sockets.image === sockets.runtime ? runtime : yield* open(sockets.image)
  const clientOf = (name: RpcName) => (isImageMethod(name) ? image : runtime)
  return {
    call: Effect.fnUntraced(function* <N extends RpcName>(name: N, request: Request<N>, options?: CallOptions) {
      const method = methodOf(name)
      const deadline = (yield* Clock.currentTimeMillis) + (options?.deadlineMs ?? sockets.defaultDeadlineMs)
      return yield* Effect.callback<Response<N>, RpcFailure>((resume) => {
        const call = clientOf(name).makeUnaryRequest(
          method.path,
          method.requestSerialize,
          method.responseDeserialize as (bytes: Buffer) => never,
          request,
          { deadline },
          (error, value) => {
            if (error !== null) resume(Effect.fail(failureOf(name, error)))
            else if (value !== undefined) resume(Effect.succeed(value))
          }
        )
        return Effect.sync(() => call.cancel())
      })
    }),
    stream: (name, request, onMessage) => {
      const method = methodOf(name)
      return Effect.callback((resume) => {
        const call = clientOf(name).makeServerStreamRequest(
          method.path,
          method.requestSerialize,
          method.responseDeserialize as (bytes: Buffer) => never,
          request
        )
        call.on("data", onMessage)
        call.on("end", () => resume(Effect.void))
        call.on("error", (error: ServiceError) => resume(Effect.fail(failureOf(name, error))))
        return Effect.sync(() => call.cancel())
      })
    }
  }
})

/** A message with the defaults of its type in every field that is not given. */
export const message = <T extends object>(type: MessageFns<T>, fields: Partial<T> = {}): T => ({
  ...type.decode(new Uint8Array(0)),
  ...fields
})
