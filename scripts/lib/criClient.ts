/**
 * A CRI client with promises, for the first pod, the benchmark and the tests. It reads proto/ by itself, so requests may
 * leave fields out, and what the daemon's generated code writes is read by somebody else's.
 */
import {
  Client,
  credentials,
  loadPackageDefinition,
  type ServiceDefinition,
  type ServiceError,
  status
} from "@grpc/grpc-js"
import { loadSync } from "@grpc/proto-loader"
import { fileURLToPath } from "node:url"
import type { ImageServiceService, RuntimeServiceService } from "../../src/gen/runtime/v1/api.ts"

type Request<M> = M extends { readonly requestSerialize: (value: infer I) => Buffer } ? I : never
type Response<M> = M extends { readonly responseDeserialize: (bytes: Buffer) => infer O } ? O : never

/** What a request leaves out has its protobuf default. */
export type Loose<T> = T extends bigint
  ? bigint | number | string
  : T extends number | string | boolean | Uint8Array | undefined
    ? T
    : T extends ReadonlyArray<infer E>
      ? ReadonlyArray<Loose<E>>
      : { readonly [K in keyof T]?: Loose<T[K]> | undefined }

/** 64-bit integers arrive as decimal text. */
export type Received<T> = T extends bigint
  ? string
  : T extends number | string | boolean | Uint8Array | undefined
    ? T
    : T extends ReadonlyArray<infer E>
      ? ReadonlyArray<Received<E>>
      : { readonly [K in keyof T]: Received<T[K]> }

export interface CallOptions {
  /** Milliseconds; two minutes unless told, as kubelet. */
  readonly deadlineMs?: number
  readonly signal?: AbortSignal
}

/** Of a call that streams: every message, once the stream has ended. */
type Answer<M> = M extends { readonly responseStream: true }
  ? ReadonlyArray<Received<Response<M>>>
  : Received<Response<M>>

type Calls<Definition> = {
  readonly [Name in keyof Definition]: (
    request?: Loose<Request<Definition[Name]>>,
    options?: CallOptions
  ) => Promise<Answer<Definition[Name]>>
}

export type CriClient = Calls<typeof RuntimeServiceService> &
  Calls<typeof ImageServiceService> & { readonly close: () => void }

const proto = fileURLToPath(new URL("../../proto/runtime/v1/api.proto", import.meta.url))

const loadServices = (): ReadonlyArray<ServiceDefinition> => {
  const definition = loadSync(proto, { longs: String, enums: Number, defaults: true, arrays: true, objects: true })
  const { v1 } = loadPackageDefinition(definition)["runtime"] as unknown as {
    readonly v1: Record<"RuntimeService" | "ImageService", { readonly service: ServiceDefinition }>
  }
  return [v1.RuntimeService.service, v1.ImageService.service]
}

const call = (client: Client, method: ServiceDefinition[string], request: unknown, options: CallOptions) =>
  new Promise((resolve, reject) => {
    const serialize = (value: unknown) => method.requestSerialize(value)
    const deserialize = (bytes: Buffer) => method.responseDeserialize(bytes)
    const limit = { deadline: Date.now() + (options.deadlineMs ?? 120_000) }
    const begin = () => {
      if (!method.responseStream) {
        return client.makeUnaryRequest(method.path, serialize, deserialize, request, limit, (error, value) =>
          error === null ? resolve(value) : reject(error)
        )
      }
      const messages: Array<unknown> = []
      const stream = client.makeServerStreamRequest(method.path, serialize, deserialize, request, limit)
      stream.on("data", (message) => messages.push(message))
      stream.on("error", reject)
      stream.on("end", () => resolve(messages))
      return stream
    }
    const begun = begin()
    options.signal?.addEventListener("abort", () => begun.cancel(), { once: true })
  })

const callsOf = (client: Client, definition: ServiceDefinition) =>
  Object.entries(definition).map(([name, method]) => [
    `${name.charAt(0).toLowerCase()}${name.slice(1)}`,
    (request: unknown = {}, options: CallOptions = {}) => call(client, method, request, options)
  ])

export const connect = (socketPath: string): CriClient => {
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure(), {
    "grpc.max_receive_message_length": 80 << 20,
    // A daemon that starts is there after some 300 ms: the default would come back after a second.
    "grpc.initial_reconnect_backoff_ms": 20,
    "grpc.max_reconnect_backoff_ms": 1000
  })
  return Object.fromEntries([
    ...loadServices().flatMap((service) => callsOf(client, service)),
    ["close", () => client.close()]
  ]) as CriClient
}

/** The name of a failed call's gRPC code ("NOT_FOUND"). */
export const codeOf = (error: unknown): string => status[(error as ServiceError).code] ?? String(error)

/** As kubelet does: every pod that is listed is stopped and removed. */
export const removeAllPods = async (client: CriClient): Promise<void> => {
  const { items } = await client.listPodSandbox({})
  for (const { id: podSandboxId } of items) {
    await client.stopPodSandbox({ podSandboxId })
    await client.removePodSandbox({ podSandboxId })
  }
}
