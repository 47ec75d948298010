/** The HTTP client over a world: requests go to its registries, bodies come in pieces, everything can break. */
import { Effect, Layer, Option, Stream } from "effect"
import {
  Cookies,
  Headers,
  HttpClient,
  HttpClientError,
  type HttpClientRequest,
  HttpClientResponse,
  HttpIncomingMessage,
  UrlParams
} from "effect/http"
import type { Answer } from "../Registry.ts"
import type { Seam } from "./Seam.ts"

/** Bodies come in pieces of at most this many bytes. */
const pieceBytes = 1024

type Failure = HttpClientError.HttpClientError

const transport = (request: HttpClientRequest.HttpClientRequest, description: string): Failure =>
  new HttpClientError.HttpClientError({
    reason: new HttpClientError.TransportError({ request, description, cause: new Error(description) })
  })

class SimulatedResponse {
  readonly [HttpIncomingMessage.TypeId] = HttpIncomingMessage.TypeId
  readonly [HttpClientResponse.TypeId] = HttpClientResponse.TypeId
  readonly request: HttpClientRequest.HttpClientRequest
  readonly url: string
  readonly status: number
  readonly headers: Headers.Headers
  readonly cookies = Cookies.empty
  readonly remoteAddress = Option.none<string>()
  readonly stream: Stream.Stream<Uint8Array, Failure>
  constructor(
    request: HttpClientRequest.HttpClientRequest,
    url: string,
    answer: Answer,
    stream: Stream.Stream<Uint8Array, Failure>
  ) {
    this.request = request
    this.url = url
    this.status = answer.status
    this.headers = Headers.fromInput(answer.headers)
    this.stream = stream
  }
  get bytes(): Effect.Effect<Buffer, Failure> {
    return Effect.map(Stream.runCollect(this.stream), (chunks) => Buffer.concat(chunks))
  }
  get arrayBuffer(): Effect.Effect<ArrayBuffer, Failure> {
    return Effect.map(this.bytes, (bytes) => new Uint8Array(bytes).buffer)
  }
  get text(): Effect.Effect<string, Failure> {
    return Effect.map(this.bytes, (bytes) => bytes.toString())
  }
  get json() {
    return Effect.flatMap(this.text, (text) =>
      Effect.try({ try: () => JSON.parse(text), catch: () => transport(this.request, "not JSON") })
    )
  }
  get urlParamsBody(): Effect.Effect<UrlParams.UrlParams, Failure> {
    return Effect.map(this.text, (text) => UrlParams.fromInput(new URLSearchParams(text)))
  }
  get formData(): Effect.Effect<FormData, Failure> {
    return Effect.fail(transport(this.request, "no forms here"))
  }
  get upgrade(): Effect.Effect<never, Failure> {
    return Effect.fail(transport(this.request, "no upgrades here"))
  }
  pipe(...args: Array<unknown>): unknown {
    return args.reduce((value, f) => (f as (value: unknown) => unknown)(value), this as unknown)
  }
  toJSON(): unknown {
    return { _id: "HttpClientResponse", status: this.status }
  }
}

export const httpClientLayer = (seam: Seam): Layer.Layer<HttpClient.HttpClient> => {
  const { world } = seam

  const call = <A>(operation: string, request: HttpClientRequest.HttpClientRequest, act: Effect.Effect<A, Failure>) =>
    world.calls.pass(
      seam.life,
      { service: "Http", operation, subject: `${request.method} ${request.url}`, failable: true },
      (code) => transport(request, code === "transport" ? "connection reset" : code),
      act
    )

  const bodyOf = (request: HttpClientRequest.HttpClientRequest, body: Uint8Array): Stream.Stream<Uint8Array, Failure> =>
    Stream.paginate(0, (offset: number) =>
      call(
        "body",
        request,
        Effect.map(Effect.sleep(1), () => {
          const next = offset + pieceBytes
          return [
            body.length === 0 ? [] : [body.subarray(offset, next)],
            next >= body.length ? Option.none<number>() : Option.some(next)
          ] as const
        })
      )
    )

  const execute = Effect.fnUntraced(function* (request: HttpClientRequest.HttpClientRequest) {
    const url = new URL(request.url)
    for (const [name, value] of request.urlParams.params) url.searchParams.append(name, String(value))
    return yield* call(
      "request",
      request,
      Effect.gen(function* () {
        yield* Effect.sleep(2)
        const registry = world.registries.get(url.host)
        if (registry === undefined) return yield* transport(request, `getaddrinfo ENOTFOUND ${url.hostname}`)
        const body = request.body._tag === "Uint8Array" ? Buffer.from(request.body.body).toString() : ""
        const answer = registry.handle({ method: request.method, url, headers: request.headers, body })
        const response = new SimulatedResponse(request, url.href, answer, bodyOf(request, answer.body))
        return response as unknown as HttpClientResponse.HttpClientResponse
      })
    )
  })

  return Layer.succeed(
    HttpClient.HttpClient,
    HttpClient.makeWith<never, never, Failure, never>(Effect.flatMap(execute), Effect.succeed)
  )
}
