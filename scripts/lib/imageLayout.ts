/** Writes OCI image layouts out of directories: the same bytes each time for the same content. */
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { gzipSync } from "node:zlib"

export interface Descriptor {
  readonly mediaType: string
  /** With its algorithm. */
  readonly digest: string
  /** Bytes. */
  readonly size: number
}

export interface LayoutLayer extends Descriptor {
  readonly diffId: string
}

export interface LayoutImage {
  /** Reference in the layout's index ("docker.io/library/busybox:latest"). */
  readonly name: string
  readonly layers: ReadonlyArray<LayoutLayer>
  /** `config` of the image specification: Env, Cmd, Entrypoint, User. */
  readonly config: Readonly<Record<string, unknown>>
  /** What it says that it is for; this machine unless told. */
  readonly platform?: { readonly os: string; readonly architecture: string }
}

const ownPlatform = { os: "linux", architecture: process.arch === "x64" ? "amd64" : process.arch }

export interface ImageLayout {
  /** A layer of all that lies below the directory. */
  readonly addLayer: (rootfs: string) => LayoutLayer
  /** Answers the manifest's descriptor. */
  readonly addImage: (image: LayoutImage) => Descriptor
}

const digestOf = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`

const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value))

const tarOf = (rootfs: string): Uint8Array =>
  execFileSync("tar", ["--numeric-owner", "--sort=name", "--mtime=@0", "-C", rootfs, "-cf", "-", "."], {
    maxBuffer: 256 << 20
  })

/** Replaces what is at the directory. */
export const writeLayout = (directory: string): ImageLayout => {
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(`${directory}/blobs/sha256`, { recursive: true })
  writeFileSync(`${directory}/oci-layout`, JSON.stringify({ imageLayoutVersion: "1.0.0" }))
  const manifests: Array<unknown> = []

  const blob = (kind: string, bytes: Uint8Array): Descriptor => {
    const digest = digestOf(bytes)
    writeFileSync(`${directory}/blobs/${digest.replace(":", "/")}`, bytes)
    return { mediaType: `application/vnd.oci.image.${kind}`, digest, size: bytes.length }
  }

  return {
    addLayer: (rootfs) => {
      const tar = tarOf(rootfs)
      return { ...blob("layer.v1.tar+gzip", gzipSync(tar, { level: 1 })), diffId: digestOf(tar) }
    },
    addImage: ({ name, layers, config, platform = ownPlatform }) => {
      const image = blob(
        "config.v1+json",
        encode({
          ...platform,
          config,
          rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) },
          history: layers.map(() => ({ created_by: "files of this machine" }))
        })
      )
      const manifest = blob(
        "manifest.v1+json",
        encode({
          schemaVersion: 2,
          mediaType: "application/vnd.oci.image.manifest.v1+json",
          config: image,
          layers: layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size }))
        })
      )
      manifests.push({ ...manifest, annotations: { "org.opencontainers.image.ref.name": name } })
      writeFileSync(`${directory}/index.json`, JSON.stringify({ schemaVersion: 2, manifests }))
      return manifest
    }
  }
}
