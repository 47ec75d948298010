/** Brings an image from a source into the store: the one path for pulls and imports. */
import { Effect, type Semaphore } from "effect"
import { hexOf } from "../../model/Digest.ts"
import type { Platform } from "../../model/Platform.ts"
import { ImageStore } from "../../store/ImageStore.ts"
import type { ImageSource } from "../ImageSource.ts"
import type { LayerClaims } from "./layerClaims.ts"
import { fetchConfig, fetchManifest } from "./manifestOf.ts"
import { sniff } from "./sniff.ts"

export interface InstallRequest<E> {
  readonly source: ImageSource<E>
  /** For error messages. */
  readonly reference: string
  /** What to ask the source for. */
  readonly tagOrDigest: string
  /** Full names with tag or digest that the image gets. */
  readonly names: ReadonlyArray<string>
  readonly platform: Platform
}

export interface InstallLimits {
  readonly claims: LayerClaims
  /** Downloads of all images together. */
  readonly downloads: Semaphore.Semaphore
  /** Downloads for one image. */
  readonly layersPerImage: number
}

/** Interrupted or failed, it leaves nothing: staged layers belong to its scope. */
export const installImage = Effect.fn("installImage")(function* <E>(request: InstallRequest<E>, limits: InstallLimits) {
  const store = yield* ImageStore
  const { source, reference, names } = request
  const {
    bytes: manifestBytes,
    digest,
    manifest
  } = yield* fetchManifest(source, reference, request.tagOrDigest, request.platform)

  const id = hexOf(manifest.config.digest)
  const present = (yield* store.snapshot).byId.get(id)
  if (present?.manifestDigest === digest) {
    const { diff_ids } = present.config.rootfs
    if ((yield* store.existingLayers(diff_ids)) === diff_ids.length) {
      if (names.every((name) => present.names.includes(name))) return present
      yield* store.addNames(id, names)
      return (yield* store.snapshot).byId.get(id) ?? present
    }
  }

  const { bytes: configBytes, config } = yield* fetchConfig(source, manifest)
  const { diff_ids } = config.rootfs
  const existing = yield* limits.claims.claim(diff_ids, store.existingLayers(diff_ids))

  const stage = Effect.fnUntraced(function* (diffId: string, index: number) {
    const descriptor = manifest.layers[existing + index]
    if (descriptor === undefined) return yield* Effect.die(new Error(`layer ${existing + index} vanished`))
    const { compression, blob } = yield* sniff(source.blob(descriptor), descriptor.digest)
    return yield* store.stageLayer({
      diffId,
      blobDigest: descriptor.digest,
      blobSize: descriptor.size,
      compression,
      blob
    })
  }, limits.downloads.withPermit)

  const staged = yield* Effect.forEach(diff_ids.slice(existing), stage, { concurrency: limits.layersPerImage })
  return yield* store.commit({
    manifest: manifestBytes,
    manifestDigest: digest,
    config: configBytes,
    names,
    layers: [...diff_ids.slice(0, existing).map((diffId) => ({ existing: diffId })), ...staged]
  })
}, Effect.scoped)
