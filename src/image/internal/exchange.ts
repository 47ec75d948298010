/** One request to a registry: redirects followed without leaking credentials, every wait bounded, every body capped. */
import { Buffer } from "node:buffer"
import { Effect, Exit, Redacted, Scope, Stream } from "effect"
import { HttpBody, HttpClient, type HttpClientError, HttpClientRequest, type HttpClientResponse } from "effect/http"
import { ContentMismatch, RegistryMisbehaved, RegistryUnreachable, TransferStalled } from "../RegistryError.ts"

const maxRedirects = 10
/** Bytes of an error's body that are read to find out what the registry says. */
const maxErrorBytes = 64 * 1024

export interface Exchange {
  /** For error messages. */
  readonly host: string
  readonly what: string
  readonly method: "GET" | "POST"
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  /** Value of the Authorization header; sent to the origin of `url` and nowhere else. */
  readonly authorization: Redacted.Redacted | undefined
  /** URL-encoded; such requests are not redirected to another origin. */
  readonly form?: Readonly<Record<string, string>>
  /** Redirects may lead to plain http. */
  readonly insecure: boolean
  /** Milliseconds: the longest wait for the head of an answer, and for a whole short body. */
  readonly patienceMs: number
}

/** The innermost reason that a person understands: Node hides "ECONNREFUSED" below two wrappers. */
const reasonOf = (error: HttpClientError.HttpClientError): string => {
  let cause: unknown = error.reason.cause ?? error
  while (cause instanceof AggregateError && cause.errors.length > 0) cause = cause.errors[0]
  if (!(cause instanceof Error)) return String(cause)
  const code = (cause as NodeJS.ErrnoException).code
  return code === undefined || cause.message.includes(code) ? cause.message : `${cause.message} (${code})`
}

export const unreachable =
  ({ host, what }: Pick<Exchange, "host" | "what">) =>
  (error: HttpClientError.HttpClientError): RegistryUnreachable =>
    // The HTTP error holds the request with its headers: only the innermost cause is kept.
    new RegistryUnreachable({ host, what, reason: reasonOf(error) })

const isRedirect = (response: HttpClientResponse.HttpClientResponse): boolean =>
  [301, 302, 303, 307, 308].includes(response.status) && response.headers.location !== undefined

const requestOf = (exchange: Exchange, url: URL): HttpClientRequest.HttpClientRequest => {
  const sameOrigin = url.origin === exchange.url.origin
  const authorization =
    sameOrigin && exchange.authorization !== undefined
      ? { authorization: Redacted.value(exchange.authorization) }
      : undefined
  return HttpClientRequest.make<"GET" | "POST">(exchange.method)(url.href, {
    headers: { "user-agent": "cricket", "accept-encoding": "identity", ...exchange.headers, ...authorization },
    ...(exchange.form === undefined ? {} : { body: HttpBody.urlParams(Object.entries(exchange.form)) })
  })
}

/** The target of a redirect, or why it is not followed. */
const redirectTarget = (exchange: Exchange, from: URL, location: string): URL | string => {
  if (!URL.canParse(location, from.href)) return "a redirect to something that is not a URL"
  const target = new URL(location, from)
  if (target.protocol !== "https:" && target.protocol !== "http:") return `a redirect to ${target.protocol}`
  if (target.protocol === "http:" && from.protocol === "https:" && !exchange.insecure) {
    return `a redirect from https to plain http at ${target.host}`
  }
  if (target.username !== "" || target.password !== "")
    return `a redirect with credentials in the URL to ${target.host}`
  if (exchange.form !== undefined && target.origin !== exchange.url.origin) {
    return `a redirect of credentials to ${target.host}`
  }
  return target
}

/** Sends a request; the answer's body may be read until the scope closes, which also drops the connection. */
export const exchange = Effect.fnUntraced(function* (request: Exchange) {
  const scope = yield* Effect.scope
  const client = HttpClient.withScope(yield* HttpClient.HttpClient)
  let url = request.url
  for (let redirects = 0; ; redirects++) {
    const hop = yield* Scope.fork(scope)
    const response = yield* client.execute(requestOf(request, url)).pipe(
      Scope.provide(hop),
      Effect.mapError(unreachable(request)),
      Effect.timeoutOrElse({
        duration: request.patienceMs,
        orElse: () =>
          Effect.fail(
            new TransferStalled({
              host: request.host,
              what: request.what,
              seconds: request.patienceMs / 1000,
              received: 0
            })
          )
      }),
      // Addresses of blobs are signed and traces are kept: no span and no trace header leaves with the request.
      Effect.provideService(HttpClient.TracerDisabledWhen, () => true)
    )
    if (!isRedirect(response)) return response
    yield* Scope.close(hop, Exit.void)
    const target = redirectTarget(request, url, response.headers.location ?? "")
    const refusal = redirects === maxRedirects ? `more than ${maxRedirects} redirects` : target
    if (typeof refusal === "string") {
      return yield* new RegistryMisbehaved({ host: request.host, what: request.what, reason: refusal })
    }
    url = refusal
  }
})

/** Bytes that the head of an answer announces. */
export const contentLength = (response: HttpClientResponse.HttpClientResponse): number | undefined => {
  const text = response.headers["content-length"]
  return text !== undefined && /^[0-9]{1,15}$/.test(text) ? Number(text) : undefined
}

/** A whole body of at most `limit` bytes. */
export const readBody = Effect.fnUntraced(function* (
  request: Pick<Exchange, "host" | "what" | "patienceMs">,
  response: HttpClientResponse.HttpClientResponse,
  limit: number
) {
  const { host, what } = request
  const tooLong = (actual: string) =>
    new ContentMismatch({ host, what, expected: `at most ${limit} bytes`, actual: `${actual} bytes` })
  const announced = contentLength(response)
  if (announced !== undefined && announced > limit) return yield* tooLong(String(announced))
  const chunks: Array<Uint8Array> = []
  let received = 0
  yield* response.stream.pipe(
    Stream.mapError(unreachable(request)),
    Stream.runForEach((chunk) => {
      received += chunk.length
      chunks.push(chunk)
      return received > limit ? Effect.fail(tooLong(`more than ${limit}`)) : Effect.void
    }),
    Effect.timeoutOrElse({
      duration: request.patienceMs,
      orElse: () => Effect.fail(new TransferStalled({ host, what, seconds: request.patienceMs / 1000, received }))
    })
  )
  return new Uint8Array(Buffer.concat(chunks))
})

/** Reads the rest of a short answer, so that its connection serves the next request. A long or slow one is dropped. */
export const discard = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<void> => {
  const length = contentLength(response)
  return length === undefined || length > maxErrorBytes
    ? Effect.void
    : response.stream.pipe(Stream.runDrain, Effect.timeout(1000), Effect.ignore)
}

const printable = (text: string): string =>
  text
    .replace(/[^\x20-\x7e]+/g, " ")
    .trim()
    .slice(0, 300)

/** Code and message of the distribution specification's error format; "" for anything else: proxies answer in HTML. */
const errorOf = (body: Uint8Array): string => {
  try {
    const { errors } = JSON.parse(new TextDecoder().decode(body)) as {
      readonly errors: ReadonlyArray<{ readonly code?: unknown; readonly message?: unknown }>
    }
    return printable([errors[0]?.code, errors[0]?.message].filter((part) => typeof part === "string").join(": "))
  } catch {
    return ""
  }
}

/** What the registry says about a failure, made safe for logs. */
export const explain = Effect.fnUntraced(function* (
  request: Pick<Exchange, "host" | "what" | "patienceMs">,
  response: HttpClientResponse.HttpClientResponse
) {
  const body = yield* readBody(request, response, maxErrorBytes).pipe(Effect.orElseSucceed(() => new Uint8Array()))
  const said = errorOf(body)
  return said === "" ? `status ${response.status}` : said
})
