/** Images for simulated registries: real documents and digests; layers are JSON lists instead of tar archives. */
import { createHash } from "node:crypto"
import type { Compression } from "../../src/linux/LayerUnpacker.ts"
import type { World } from "./World.ts"

export interface LayerEntry {
  /** Relative to the layer's root. */
  readonly path: string
  readonly type: "file" | "directory" | "symlink" | "whiteout"
  readonly content?: string
  readonly target?: string
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  readonly opaque?: boolean
}

export interface ImageOptions {
  readonly layers: ReadonlyArray<ReadonlyArray<LayerEntry>>
  readonly compression?: Compression
  /** The `config` member of the image configuration. */
  readonly config?: Readonly<Record<string, unknown>>
}

export interface SimulatedImage {
  readonly manifest: Uint8Array
  readonly manifestDigest: string
  /** Manifest type as the registry declares it. */
  readonly mediaType: string
  /** Configuration and layers by digest. */
  readonly blobs: ReadonlyMap<string, Uint8Array>
  /** Hex of the configuration's digest: the image's id. */
  readonly id: string
}

export const digestOf = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`

/** The formats' magic numbers, so that sniffing works; what follows is not compressed. */
const magic: Readonly<Record<Compression, ReadonlyArray<number>>> = {
  none: [],
  gzip: [0x1f, 0x8b],
  zstd: [0x28, 0xb5, 0x2f, 0xfd]
}

export const deflate = (tar: Uint8Array, compression: Compression): Uint8Array =>
  Buffer.concat([Buffer.from(magic[compression]), tar])

export const inflate = (blob: Uint8Array, compression: Compression): Uint8Array | undefined => {
  const head = magic[compression]
  return head.every((byte, index) => blob[index] === byte) ? blob.subarray(head.length) : undefined
}

const json = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value))

const manifestType = "application/vnd.oci.image.manifest.v1+json"
const layerTypes: Readonly<Record<Compression, string>> = {
  none: "application/vnd.oci.image.layer.v1.tar",
  gzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  zstd: "application/vnd.oci.image.layer.v1.tar+zstd"
}

export const makeImage = (options: ImageOptions): SimulatedImage => {
  const compression = options.compression ?? "gzip"
  const tars = options.layers.map((entries) => json({ entries }))
  const blobs = tars.map((tar) => deflate(tar, compression))
  const config = json({
    architecture: "amd64",
    os: "linux",
    created: "2025-01-01T00:00:00Z",
    config: { Env: ["PATH=/usr/bin:/bin"], Cmd: ["sh"], ...options.config },
    rootfs: { type: "layers", diff_ids: tars.map(digestOf) },
    history: tars.map(() => ({ created: "2025-01-01T00:00:00Z", created_by: "simulated" }))
  })
  const manifest = json({
    schemaVersion: 2,
    mediaType: manifestType,
    config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: digestOf(config), size: config.length },
    layers: blobs.map((blob) => ({ mediaType: layerTypes[compression], digest: digestOf(blob), size: blob.length }))
  })
  return {
    manifest,
    manifestDigest: digestOf(manifest),
    mediaType: manifestType,
    blobs: new Map([config, ...blobs].map((bytes) => [digestOf(bytes), bytes])),
    id: digestOf(config).slice("sha256:".length)
  }
}

const executables = ["sh", "sleep", "echo", "cat", "true", "false", "busybox", "head", "env", "kill", "pwd", "hostname"]

/** Layers of a small userland whose commands the interpreter of `programs/shell.ts` knows. */
export const busyboxLayers: ReadonlyArray<ReadonlyArray<LayerEntry>> = [
  [
    ...["bin", "usr/bin", "etc", "tmp", "proc", "sys", "dev", "root"].map((path): LayerEntry => ({
      path,
      type: "directory"
    })),
    ...executables.map((name): LayerEntry => ({ path: `bin/${name}`, type: "file", content: name, mode: 0o755 })),
    { path: "etc/passwd", type: "file", content: "root:x:0:0:root:/root:/bin/sh\nwww:x:1000:1000::/:/bin/sh\n" },
    { path: "etc/group", type: "file", content: "root:x:0:\nwww:x:1000:\nextra:x:1001:www\n" }
  ],
  [
    { path: "etc/motd", type: "file", content: "hello\n" },
    { path: "tmp", type: "directory", mode: 0o1777 }
  ]
]

export const busybox = makeImage({ layers: busyboxLayers })

/** Writes an OCI image layout into a world, as for an import from disk. */
export const writeLayout = (world: World, directory: string, image: SimulatedImage): void => {
  const { vfs } = world
  vfs.makeDirectories(`${directory}/blobs/sha256`)
  vfs.write(`${directory}/oci-layout`, JSON.stringify({ imageLayoutVersion: "1.0.0" }))
  const descriptor = { mediaType: image.mediaType, digest: image.manifestDigest, size: image.manifest.length }
  vfs.write(`${directory}/index.json`, JSON.stringify({ schemaVersion: 2, manifests: [descriptor] }))
  for (const [digest, bytes] of [...image.blobs, [image.manifestDigest, image.manifest] as const]) {
    vfs.write(`${directory}/blobs/sha256/${digest.slice("sha256:".length)}`, bytes)
  }
}
