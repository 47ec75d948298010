/** An HttpClient whose other end is a function: registries that misbehave on purpose. */
import { Effect, Layer } from "effect"
import { HttpClient, HttpClientError, HttpClientResponse } from "effect/http"
import * as MediaType from "../../../src/model/MediaType.ts"
import { sha256, type TestImage } from "./images.ts"

export interface Asked {
  readonly method: string
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** A response, "refuse" for a connection that is not accepted, or undefined for a server that never answers. */
export type Answer = Response | "refuse" | undefined
export type Handler = (asked: Asked) => Answer | Promise<Answer>

export const makeHttp = (handler: Handler) => {
  const log: Array<Asked> = []
  const layer = Layer.succeed(
    HttpClient.HttpClient,
    HttpClient.make((request, url) =>
      Effect.gen(function* () {
        const body = request.body._tag === "Uint8Array" ? new TextDecoder().decode(request.body.body) : ""
        const asked = { method: request.method, url, headers: { ...request.headers }, body }
        log.push(asked)
        const answer = yield* Effect.promise(async () => handler(asked))
        if (answer === undefined) return yield* Effect.never
        if (answer === "refuse") {
          const cause = Object.assign(new Error("connect ECONNREFUSED 192.0.2.1:443"), { code: "ECONNREFUSED" })
          return yield* new HttpClientError.HttpClientError({
            reason: new HttpClientError.TransportError({ request, cause })
          })
        }
        return HttpClientResponse.fromWeb(request, answer)
      })
    )
  )
  return { layer, log, paths: () => log.map(({ url }) => url.pathname) }
}

export const respond = (status: number, body: Uint8Array | string = "", headers: Record<string, string> = {}) =>
  new Response(typeof body === "string" ? body : new Uint8Array(body), { status, headers })

export interface Repository {
  readonly images: ReadonlyArray<TestImage>
  /** Tag to manifest or index bytes. */
  readonly tags: Readonly<Record<string, Uint8Array>>
}

/** A well-behaved registry that holds one repository. */
export const registryOf =
  ({ images, tags }: Repository): Handler =>
  ({ url, headers }) => {
    const manifests = [...images.map(({ manifest }) => manifest), ...Object.values(tags)]
    const manifestName = /\/manifests\/([^/]+)$/.exec(url.pathname)?.[1]
    if (manifestName !== undefined) {
      const bytes = tags[manifestName] ?? manifests.find((manifest) => sha256(manifest) === manifestName)
      if (bytes === undefined) {
        return respond(404, JSON.stringify({ errors: [{ code: "MANIFEST_UNKNOWN", message: "manifest unknown" }] }))
      }
      const type = (JSON.parse(new TextDecoder().decode(bytes)) as { mediaType?: string }).mediaType
      return respond(200, bytes, {
        "content-type": type ?? MediaType.ociManifest,
        "docker-content-digest": sha256(bytes),
        "content-length": String(bytes.length)
      })
    }
    const digest = /\/blobs\/([^/]+)$/.exec(url.pathname)?.[1] ?? ""
    const blob = images.map(({ blobs }) => blobs.get(digest)).find((found) => found !== undefined)
    if (blob === undefined) return respond(404)
    const from = /^bytes=([0-9]+)-$/.exec(headers.range ?? "")?.[1]
    if (from === undefined) return respond(200, blob, { "content-length": String(blob.length) })
    const part = blob.subarray(Number(from))
    return respond(206, part, {
      "content-length": String(part.length),
      "content-range": `bytes ${from}-${blob.length - 1}/${blob.length}`
    })
  }
