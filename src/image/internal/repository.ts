/** One repository at one registry: requests with authorization, manifests, blobs (OCI distribution specification, "Pull"). */
import { Effect } from "effect"
import { HttpClient, type HttpClientResponse } from "effect/http"
import { digestOf, isDigest } from "../../model/Digest.ts"
import { maxDocumentBytes } from "../../model/ImageDocument.ts"
import { acceptedManifests } from "../../model/MediaType.ts"
import type { Credentials } from "../Credentials.ts"
import type { ImageSource } from "../ImageSource.ts"
import type { PullSource } from "../RegistriesConf.ts"
import {
  ContentMismatch,
  NotInRegistry,
  RegistryDenied,
  type RegistryError,
  RegistryRefused
} from "../RegistryError.ts"
import { TransportPolicy, type TransportPolicyShape } from "../TransportPolicy.ts"
import { makeAuthorization } from "./authorization.ts"
import { retrying } from "./backOff.ts"
import { discard, exchange, explain, readBody } from "./exchange.ts"
import { resumableBlob } from "./resumableBlob.ts"

const manifestAttempts = 3
/** A 401 is answered twice: once to begin with, once where a token has expired meanwhile. */
const authorizations = 2

export interface RepositoryOptions {
  readonly client: HttpClient.HttpClient
  readonly source: PullSource
  readonly policy: TransportPolicyShape
  readonly credentials: Credentials | undefined
  /** Milliseconds without useful progress after which a connection is given up. */
  readonly patienceMs: number
  /** Milliseconds without useful progress after which a blob is given up; 0: when its connections are used up. */
  readonly progressTimeoutMs: number
}

/** docker.io has its registry at another name. */
const hostOf = (domain: string): string => (domain === "docker.io" ? "registry-1.docker.io" : domain)

/** Seconds in a Retry-After header, as milliseconds. */
const retryAfter = (response: HttpClientResponse.HttpClientResponse): { readonly retryAfterMs?: number } => {
  const text = response.headers["retry-after"] ?? ""
  return /^[0-9]{1,6}$/.test(text) ? { retryAfterMs: Number(text) * 1000 } : {}
}

export const makeRepository = Effect.fnUntraced(function* (options: RepositoryOptions) {
  const { client, policy, credentials, patienceMs, progressTimeoutMs } = options
  const { reference, insecure } = options.source
  const { path } = reference
  const host = hostOf(reference.domain)
  const authorization = yield* makeAuthorization({ host, path, credentials, insecure, patienceMs })

  const overTheWire = <A, E, R>(effect: Effect.Effect<A, E, R | HttpClient.HttpClient>) =>
    effect.pipe(
      Effect.provideService(HttpClient.HttpClient, client),
      Effect.provideService(TransportPolicy, policy)
    ) as Effect.Effect<A, E, Exclude<R, HttpClient.HttpClient>>

  const get = (what: string, url: URL, headers: Readonly<Record<string, string>>) =>
    ({ host, what, method: "GET", url, headers, insecure, patienceMs }) as const

  const ping = (url: URL) =>
    exchange({ ...get("registry", url, {}), authorization: undefined }).pipe(
      overTheWire,
      Effect.flatMap(discard),
      Effect.scoped,
      Effect.as(url)
    )

  /** https, or http where an insecure registry does not answer to https. */
  const base = yield* Effect.cached(
    insecure
      ? ping(new URL(`https://${host}/v2/`)).pipe(
          Effect.catchTag("RegistryUnreachable", () => ping(new URL(`http://${host}/v2/`)))
        )
      : Effect.succeed(new URL(`https://${host}/v2/`))
  )

  const refusal = Effect.fnUntraced(function* (
    message: ReturnType<typeof get>,
    response: HttpClientResponse.HttpClientResponse
  ) {
    const { what } = message
    const { status } = response
    const reason = yield* explain(message, response)
    if (status === 401 || status === 403) return new RegistryDenied({ host, what, reason })
    if (status === 404) return new NotInRegistry({ host, what, reason })
    return new RegistryRefused({ host, what, status, reason, ...retryAfter(response) })
  })

  /** Sends with the present authorization and answers challenges. Succeeds with 200 and 206 only. */
  const request = Effect.fnUntraced(function* (
    what: string,
    resource: string,
    headers: Readonly<Record<string, string>>
  ) {
    const root = yield* base
    const message = get(what, new URL(`${path}/${resource}`, root), headers)
    for (let renewed = 0; ; renewed++) {
      const used = yield* authorization.current
      const response = yield* exchange({ ...message, authorization: used }).pipe(overTheWire)
      if (response.status === 200 || response.status === 206) return response
      const challenge = response.headers["www-authenticate"]
      if (response.status !== 401 || challenge === undefined || renewed === authorizations) {
        return yield* yield* refusal(message, response)
      }
      yield* discard(response)
      yield* authorization.renew(challenge, root, used).pipe(overTheWire)
    }
  })

  const manifestOnce = Effect.fnUntraced(function* (tagOrDigest: string) {
    const what = `manifest ${tagOrDigest} of ${path}`
    const response = yield* request(what, `manifests/${tagOrDigest}`, { accept: acceptedManifests.join(", ") })
    const bytes = yield* readBody({ host, what, patienceMs }, response, maxDocumentBytes)
    const declared = response.headers["docker-content-digest"]
    const actual = digestOf(bytes)
    if (declared !== undefined && isDigest(declared) && declared !== actual) {
      return yield* new ContentMismatch({ host, what, expected: declared, actual })
    }
    return { bytes, mediaType: response.headers["content-type"] }
  }, Effect.scoped)

  return {
    place: host,
    manifest: Effect.fn("RegistryClient.manifest")((tagOrDigest: string) =>
      retrying(manifestAttempts, manifestOnce(tagOrDigest))
    ),
    blob: ({ digest, size }) => {
      const what = `blob ${digest} of ${path}`
      const open = (offset: number) =>
        request(what, `blobs/${digest}`, offset === 0 ? {} : { range: `bytes=${offset}-` })
      return resumableBlob({ host, what, size, patienceMs, progressTimeoutMs, open })
    }
  } satisfies ImageSource<RegistryError>
})
