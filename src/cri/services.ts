/** RuntimeService and ImageService out of one handler per RPC, for the transport to serve. */
import type { ServiceDefinition, UntypedServiceImplementation } from "@grpc/grpc-js"
import { Effect, type Scope, type Stream } from "effect"
import { ImageServiceService, RuntimeServiceService } from "../gen/runtime/v1/api.ts"
import { type Adapter, type AdapterOptions, makeAdapter, type StreamHandler, type UnaryHandler } from "./adapter.ts"
import type { Readiness } from "./Readiness.ts"
import type { GrpcService } from "./Transport.ts"

type RequestOf<M> = M extends { readonly requestDeserialize: (bytes: Buffer) => infer I } ? I : never
type ResponseOf<M> = M extends { readonly responseDeserialize: (bytes: Buffer) => infer O } ? O : never

type Handler<M, R> = M extends { readonly responseStream: true }
  ? StreamHandler<RequestOf<M>, ResponseOf<M>, R>
  : UnaryHandler<RequestOf<M>, ResponseOf<M>, R>

/** By RPC name; an RPC that is left out answers Unimplemented, from which the kubelet falls back where it can. */
export type Handlers<Definition, R> = {
  readonly [Name in keyof Definition & string as Capitalize<Name>]?: Handler<Definition[Name], R>
}

export type RuntimeHandlers<R> = Handlers<typeof RuntimeServiceService, R>
export type ImageHandlers<R> = Handlers<typeof ImageServiceService, R>

/** The services that the handlers of an object need. */
type Needs<H> = {
  readonly [Name in keyof H]-?: NonNullable<H[Name]> extends (request: never) => infer Result
    ? Result extends Effect.Effect<unknown, unknown, infer R>
      ? R
      : Result extends Stream.Stream<unknown, unknown, infer R>
        ? R
        : never
    : never
}[keyof H]

/** A handler under a name that the service does not have is a compile error, not a dead function. */
type Only<H, Allowed> = { readonly [Name in Exclude<keyof H, keyof Allowed>]: never }

type AnyHandler<R> = UnaryHandler<never, unknown, R> | StreamHandler<never, unknown, R>

/** Handlers are typed one by one where they come in; here only their names and kinds matter. */
const compose = <R>(adapter: Adapter<R>, definition: ServiceDefinition, handlers: object): GrpcService => {
  const byName = new Map(Object.entries(handlers as Record<string, AnyHandler<R>>))
  const implementation: UntypedServiceImplementation = {}
  for (const [key, method] of Object.entries(definition)) {
    const handler = byName.get(`${key.charAt(0).toUpperCase()}${key.slice(1)}`)
    if (handler === undefined) continue
    implementation[key] = method.responseStream
      ? adapter.stream(method, handler as StreamHandler<unknown, unknown, R>)
      : adapter.unary(method, handler as UnaryHandler<unknown, unknown, R>)
  }
  return { definition, implementation }
}

/**
 * Captures the services that the handlers need and the scope that running calls belong to. Provide both services'
 * handlers as plain objects: `{ runtime: { Version: version, … }, image: { PullImage: pullImage, … } }`.
 */
export const makeServices = Effect.fnUntraced(function* <
  Runtime extends RuntimeHandlers<unknown>,
  Image extends ImageHandlers<unknown>
>(
  handlers: {
    readonly runtime: Runtime & Only<Runtime, RuntimeHandlers<unknown>>
    readonly image: Image & Only<Image, ImageHandlers<unknown>>
  },
  options: AdapterOptions
): Effect.fn.Return<ReadonlyArray<GrpcService>, never, Needs<Runtime> | Needs<Image> | Readiness | Scope.Scope> {
  const adapter = yield* makeAdapter<Needs<Runtime> | Needs<Image>>(options)
  return [
    compose(adapter, RuntimeServiceService, handlers.runtime),
    compose(adapter, ImageServiceService, handlers.image)
  ]
})
