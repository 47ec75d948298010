/** Images made on the spot: their layers are bytes, not archives; whoever unpacks them checks digests only. */
import { createHash } from "node:crypto"
import { gzipSync } from "node:zlib"
import * as MediaType from "../../../src/model/MediaType.ts"

export const sha256 = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`
export const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value))

export interface TestImage {
  readonly manifest: Uint8Array
  readonly manifestDigest: string
  readonly config: Uint8Array
  readonly id: string
  readonly layers: ReadonlyArray<Uint8Array>
  /** Every blob by digest. */
  readonly blobs: ReadonlyMap<string, Uint8Array>
}

export interface ImageParts {
  /** Uncompressed content of the layers. */
  readonly layers?: ReadonlyArray<Uint8Array>
  readonly compress?: (layer: Uint8Array) => Uint8Array
  readonly layerType?: string
  readonly config?: Record<string, unknown>
  readonly manifest?: Record<string, unknown>
}

export const makeImage = (parts: ImageParts = {}): TestImage => {
  const plain = parts.layers ?? [new TextEncoder().encode("base"), new TextEncoder().encode("top")]
  const layers = plain.map(parts.compress ?? ((layer) => new Uint8Array(gzipSync(layer))))
  const config = json({
    architecture: "amd64",
    os: "linux",
    config: { Env: ["PATH=/bin"] },
    rootfs: { type: "layers", diff_ids: plain.map(sha256) },
    ...parts.config
  })
  const manifest = json({
    schemaVersion: 2,
    mediaType: MediaType.ociManifest,
    config: { mediaType: MediaType.ociConfig, digest: sha256(config), size: config.length },
    layers: layers.map((layer) => ({
      mediaType: parts.layerType ?? MediaType.ociLayerGzip,
      digest: sha256(layer),
      size: layer.length
    })),
    ...parts.manifest
  })
  return {
    manifest,
    manifestDigest: sha256(manifest),
    config,
    id: sha256(config).slice("sha256:".length),
    layers,
    blobs: new Map([config, ...layers].map((blob) => [sha256(blob), blob]))
  }
}

export const makeIndex = (
  entries: ReadonlyArray<{ readonly image: TestImage; readonly architecture: string; readonly variant?: string }>
): Uint8Array =>
  json({
    schemaVersion: 2,
    mediaType: MediaType.ociIndex,
    manifests: entries.map(({ image, architecture, variant }) => ({
      mediaType: MediaType.ociManifest,
      digest: image.manifestDigest,
      size: image.manifest.length,
      platform: { os: "linux", architecture, ...(variant === undefined ? {} : { variant }) }
    }))
  })
