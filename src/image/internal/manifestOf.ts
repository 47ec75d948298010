/** From a tag or digest to the one manifest and configuration that this machine runs, every byte verified. */
import { Effect, Stream } from "effect"
import { digestOf, isDigest, type Digest } from "../../model/Digest.ts"
import { parseImageConfig } from "../../model/ImageConfig.ts"
import { MalformedDocument, maxDocumentBytes } from "../../model/ImageDocument.ts"
import { type Descriptor, type Index, parseImageDocument } from "../../model/ImageManifest.ts"
import { essence } from "../../model/MediaType.ts"
import { choosePlatform, formatPlatform, type Platform } from "../../model/Platform.ts"
import type { ImageSource } from "../ImageSource.ts"
import { NoMatchingPlatform } from "../PullError.ts"
import { ContentMismatch } from "../RegistryError.ts"

/** Indexes inside indexes. */
const maxDepth = 3

const check = (place: string, what: string, expected: string, actual: string) =>
  expected === actual ? Effect.void : Effect.fail(new ContentMismatch({ host: place, what, expected, actual }))

const chooseManifest = (reference: string, index: Index, host: Platform) => {
  // An index of one image may leave the platform to the image's configuration.
  const only =
    index.manifests.length === 1 && index.manifests[0]?.platform === undefined ? index.manifests[0] : undefined
  const chosen = only ?? choosePlatform(index.manifests, host)
  if (chosen !== undefined) return Effect.succeed(chosen)
  const offered = [
    ...new Set(index.manifests.flatMap(({ platform }) => (platform === undefined ? [] : [formatPlatform(platform)])))
  ].slice(0, 20)
  const wanted = formatPlatform(host)
  const reason = `no image for ${wanted}, only for ${offered.length === 0 ? "nothing" : offered.join(", ")}`
  return Effect.fail(new NoMatchingPlatform({ reference, reason, others: [], wanted, offered }))
}

/** Follows indexes to the manifest of this platform. */
export const fetchManifest = Effect.fnUntraced(function* <E>(
  source: ImageSource<E>,
  reference: string,
  tagOrDigest: string,
  host: Platform
) {
  const { place } = source
  let descriptor: Descriptor | undefined
  for (let depth = 0; depth <= maxDepth; depth++) {
    const name: string = descriptor?.digest ?? tagOrDigest
    const { bytes, mediaType } = yield* source.manifest(name)
    const digest: Digest = digestOf(bytes)
    const what = `manifest ${name}`
    if (isDigest(name)) yield* check(place, what, name, digest)
    if (descriptor !== undefined) yield* check(place, what, `${descriptor.size} bytes`, `${bytes.length} bytes`)
    const declared = [mediaType, descriptor?.mediaType].filter((type) => type !== undefined).map(essence)
    const document = yield* Effect.fromResult(parseImageDocument(bytes, declared))
    if (document._tag === "Manifest") return { bytes, digest, manifest: document.manifest }
    descriptor = yield* chooseManifest(reference, document.index, host)
  }
  return yield* new MalformedDocument({
    document: "image index",
    reason: `indexes are nested more than ${maxDepth} deep`
  })
})

/** The image configuration that a manifest points at. */
export const fetchConfig = Effect.fnUntraced(function* <E>(
  source: ImageSource<E>,
  manifest: { readonly config: Descriptor; readonly layers: ReadonlyArray<Descriptor> }
) {
  const { digest, size } = manifest.config
  const refuse = (reason: string) => new MalformedDocument({ document: "image configuration", reason })
  if (size > maxDocumentBytes) return yield* refuse(`it has ${size} bytes, at most ${maxDocumentBytes} are accepted`)
  const bytes = yield* Stream.mkUint8Array(source.blob({ digest, size }))
  yield* check(source.place, `configuration ${digest}`, digest, digestOf(bytes))
  const config = yield* Effect.fromResult(parseImageConfig(bytes))
  const { diff_ids } = config.rootfs
  if (diff_ids.length !== manifest.layers.length) {
    return yield* refuse(`it names ${diff_ids.length} layers, the manifest ${manifest.layers.length}`)
  }
  if (config.os !== "" && config.os !== "linux") {
    return yield* refuse(`it is an image for ${JSON.stringify(config.os)}, not for linux`)
  }
  return { bytes, config }
})
