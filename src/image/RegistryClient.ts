/** The pull side of the OCI distribution specification: manifests and blobs of one repository at one registry. */
import { Context, Duration, Effect, Layer } from "effect"
import { HttpClient, type HttpClientResponse } from "effect/http"
import { Files } from "../linux/Files.ts"
import { digestOf, isDigest } from "../model/Digest.ts"
import { maxDocumentBytes } from "../model/ImageDocument.ts"
import { acceptedManifests } from "../model/MediaType.ts"
import type { Credentials } from "./Credentials.ts"
import type { ImageSource } from "./ImageSource.ts"
import { makeAuthorization } from "./internal/authorization.ts"
import { retrying } from "./internal/backOff.ts"
import { certificatesFor } from "./internal/certificates.ts"
import { type Exchange, exchange, explain, readBody } from "./internal/exchange.ts"
import { resumableBlob } from "./internal/resumableBlob.ts"
import { PullSettings } from "./PullSettings.ts"
import { formatReference } from "./Reference.ts"
import type { PullSource } from "./RegistriesConf.ts"
import { ContentMismatch, NotInRegistry, RegistryDenied, type RegistryError, RegistryRefused } from "./RegistryError.ts"
import { TransportPolicy } from "./TransportPolicy.ts"

/** Milliseconds without useful progress after which a connection is given up and replaced. */
const longestPatienceMs = 60_000
const manifestAttempts = 3
/** A 401 is answered twice: once to begin with, once where a token has expired meanwhile. */
const authorizations = 2

/** docker.io has its registry at another name. */
const hostOf = (domain: string): string => (domain === "docker.io" ? "registry-1.docker.io" : domain)

/** Seconds in a Retry-After header, as milliseconds. */
const retryAfter = (response: HttpClientResponse.HttpClientResponse): { readonly retryAfterMs?: number } => {
  const text = response.headers["retry-after"] ?? ""
  return /^[0-9]{1,6}$/.test(text) ? { retryAfterMs: Number(text) * 1000 } : {}
}

export class RegistryClient extends Context.Service<
  RegistryClient,
  {
    /**
     * One repository for one pull: remembers its authorization. Credentials go to this registry and its token server only.
     * Requests are made when the parts are asked for.
     */
    readonly open: (
      source: PullSource,
      credentials: Credentials | undefined
    ) => Effect.Effect<ImageSource<RegistryError>, RegistryError>
  }
>()("cricket/image/RegistryClient") {
  static readonly layer: Layer.Layer<RegistryClient, never, HttpClient.HttpClient | Files | PullSettings> =
    Layer.effect(
      RegistryClient,
      Effect.gen(function* () {
        const client = yield* HttpClient.HttpClient
        const context = yield* Effect.context<Files | PullSettings>()
        const { progressTimeout } = yield* PullSettings
        const progressTimeoutMs = Duration.toMillis(progressTimeout)
        const patienceMs =
          progressTimeoutMs > 0 ? Math.min(progressTimeoutMs / 2, longestPatienceMs) : longestPatienceMs

        const open = Effect.fn("RegistryClient.open")(function* (
          source: PullSource,
          credentials: Credentials | undefined
        ) {
          const { reference, insecure } = source
          const host = hostOf(reference.domain)
          const { path } = reference
          const policy = {
            insecure,
            ...(yield* certificatesFor(reference.domain).pipe(Effect.provideContext(context)))
          }
          const authorization = yield* makeAuthorization({ host, path, credentials, insecure, patienceMs })

          const send = (request: Exchange) =>
            exchange(request).pipe(
              Effect.provideService(HttpClient.HttpClient, client),
              Effect.provideService(TransportPolicy, policy)
            )
          const renew = (...parameters: Parameters<typeof authorization.renew>) =>
            authorization
              .renew(...parameters)
              .pipe(
                Effect.provideService(HttpClient.HttpClient, client),
                Effect.provideService(TransportPolicy, policy)
              )

          const get = (what: string, url: URL, headers: Readonly<Record<string, string>>) => ({
            host,
            what,
            method: "GET" as const,
            url,
            headers,
            insecure,
            patienceMs
          })

          /** https, or http where an insecure registry does not answer to https. */
          const base = yield* Effect.cached(
            Effect.gen(function* () {
              const https = new URL(`https://${host}/v2/`)
              if (!insecure) return https
              const ping = (url: URL) =>
                Effect.scoped(send({ ...get("registry", url, {}), authorization: undefined })).pipe(Effect.as(url))
              return yield* ping(https).pipe(
                Effect.catchTag("RegistryUnreachable", (error) =>
                  ping(new URL(`http://${host}/v2/`)).pipe(
                    Effect.catchTag("RegistryUnreachable", (other) =>
                      // Where neither answers, the plain error is the telling one: "connection refused", not a TLS detail.
                      Effect.fail(other.reason === error.reason ? error : other)
                    )
                  )
                )
              )
            })
          )

          /** Sends with the present authorization and answers challenges. */
          const request = Effect.fnUntraced(function* (
            what: string,
            resource: string,
            headers: Readonly<Record<string, string>>
          ) {
            const root = yield* base
            const message = get(what, new URL(`${path}/${resource}`, root), headers)
            for (let renewed = 0; ; renewed++) {
              const used = yield* authorization.current
              const response = yield* send({ ...message, authorization: used })
              if (response.status === 200 || response.status === 206) return response
              const challenge = response.headers["www-authenticate"]
              if (response.status === 401 && challenge !== undefined && renewed < authorizations) {
                yield* renew(challenge, root, used)
                continue
              }
              const reason = yield* explain(message, response)
              switch (response.status) {
                case 401:
                case 403:
                  return yield* new RegistryDenied({ host, what, reason })
                case 404:
                  return yield* new NotInRegistry({ host, what, reason })
                default:
                  return yield* new RegistryRefused({
                    host,
                    what,
                    status: response.status,
                    reason,
                    ...retryAfter(response)
                  })
              }
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
            blob: ({ digest, size }) =>
              resumableBlob({
                host,
                what: `blob ${digest} of ${formatReference(reference)}`,
                size,
                patienceMs,
                progressTimeoutMs,
                open: (offset) =>
                  request(
                    `blob ${digest} of ${path}`,
                    `blobs/${digest}`,
                    offset === 0 ? {} : { range: `bytes=${offset}-` }
                  )
              })
          } satisfies ImageSource<RegistryError>
        })

        return RegistryClient.of({ open })
      })
    )
}
