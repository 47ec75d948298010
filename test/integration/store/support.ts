/** Real stores in temporary roots, images made from the machine's own busybox, and podman beside them. */
import { Effect, Layer, Stream } from "effect"
import koffi from "koffi"
import { execFile, execFileSync } from "node:child_process"
import { createHash, randomBytes } from "node:crypto"
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { gzipSync, zstdCompressSync } from "node:zlib"
import { Files } from "../../../src/linux/Files.ts"
import { type Compression, LayerUnpacker } from "../../../src/linux/LayerUnpacker.ts"
import { Locks } from "../../../src/linux/Locks.ts"
import { Mounts } from "../../../src/linux/Mounts.ts"
import { ContainerStore } from "../../../src/store/ContainerStore.ts"
import { ImageStore } from "../../../src/store/ImageStore.ts"
import { StoreSettings } from "../../../src/store/StoreSettings.ts"

export const sha256 = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`

export interface BuiltLayer {
  readonly tar: Buffer
  readonly blob: Buffer
  readonly compression: Compression
}

export interface BuiltImage {
  readonly layers: ReadonlyArray<BuiltLayer>
  readonly config: Buffer
  readonly manifest: Buffer
}

export interface Place {
  readonly directory: string
  readonly graphRoot: string
  readonly runRoot: string
  /** Its standard output; fails with its standard error. */
  readonly podman: (...args: ReadonlyArray<string>) => Effect.Effect<string, Error>
}

const compress = { none: (b: Buffer) => b, gzip: (b: Buffer) => gzipSync(b, { level: 1 }), zstd: zstdCompressSync }
const suffix = { none: "", gzip: "+gzip", zstd: "+zstd" }

export const layerOf = (tar: Buffer, compression: Compression = "gzip"): BuiltLayer => ({
  tar,
  compression,
  blob: compress[compression](tar)
})

/** The archive that GNU tar makes of what `fill` puts into an empty directory. */
export const tarOf = (fill: (directory: string) => void, ...options: ReadonlyArray<string>): Buffer => {
  const directory = mkdtempSync("/tmp/cricket-layer-")
  try {
    fill(directory)
    return execFileSync("tar", ["-C", directory, "--xattrs", "--xattrs-include=*", ...options, "-cf", "-", "."], {
      maxBuffer: 2 ** 30
    })
  } finally {
    rmSync(directory, { recursive: true })
  }
}

export const imageOf = (layers: ReadonlyArray<BuiltLayer>, note = ""): BuiltImage => {
  const config = Buffer.from(
    JSON.stringify({
      architecture: process.arch === "arm64" ? "arm64" : "amd64",
      os: "linux",
      created: "2024-05-06T07:08:09.123456789Z",
      config: { Cmd: ["/bin/busybox", "true"], Labels: { note } },
      rootfs: { type: "layers", diff_ids: layers.map((layer) => sha256(layer.tar)) }
    })
  )
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: sha256(config), size: config.length },
      layers: layers.map((layer) => ({
        mediaType: `application/vnd.oci.image.layer.v1.tar${suffix[layer.compression]}`,
        digest: sha256(layer.blob),
        size: layer.blob.length
      }))
    })
  )
  return { layers, config, manifest }
}

/** An OCI image layout with one image. */
export const writeLayout = (directory: string, image: BuiltImage): void => {
  mkdirSync(`${directory}/blobs/sha256`, { recursive: true })
  const put = (bytes: Uint8Array) => writeFileSync(`${directory}/blobs/sha256/${sha256(bytes).slice(7)}`, bytes)
  for (const layer of image.layers) put(layer.blob)
  put(image.config)
  put(image.manifest)
  const descriptor = {
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    digest: sha256(image.manifest),
    size: image.manifest.length
  }
  writeFileSync(`${directory}/index.json`, JSON.stringify({ schemaVersion: 2, manifests: [descriptor] }))
  writeFileSync(`${directory}/oci-layout`, JSON.stringify({ imageLayoutVersion: "1.0.0" }))
}

/** vfs_cap_data (capability.h): cap_net_raw, permitted and effective. */
export const netRaw = Buffer.from("0100000200200000000000000000000000000000", "hex")

/** A base with busybox, links, attributes and odd names; above it whiteouts, an opaque directory, replacements. */
export const busyboxLayers = (): ReadonlyArray<Buffer> => [
  tarOf((root) => {
    for (const name of ["bin", "etc", "old", "gone", "tmp"]) mkdirSync(`${root}/${name}`)
    copyFileSync("/bin/busybox", `${root}/bin/busybox`)
    chmodSync(`${root}/bin/busybox`, 0o4755)
    chmodSync(`${root}/tmp`, 0o1777)
    const script = `ln bin/busybox bin/sh; ln -s sh bin/ash; ln -s /etc/passwd etc/link; mkfifo etc/fifo
      echo root:x:0:0::/:/bin/sh > etc/passwd; chown 12:3456789 etc/passwd; echo a > old/a; echo b > old/b; echo g > gone/g
      mknod etc/null c 1 3
      printf x > "$(printf 'etc/latin\\351')"; touch -d 1999-01-02T03:04:05.678 etc/passwd`
    execFileSync("sh", ["-c", script], { cwd: root, stdio: "ignore" })
    setXattr(`${root}/bin/busybox`, "security.capability", netRaw)
    setXattr(`${root}/old`, "user.note", Buffer.from("a\0b"))
  }, "--format=posix"),
  tarOf((root) => {
    const script = `mkdir old etc; touch .wh.gone old/.wh..wh..opq; echo new > old/c; echo changed > etc/passwd; touch etc/.wh.fifo`
    execFileSync("sh", ["-c", script], { cwd: root })
  })
]

export const makePlace = (name: string, parent = "/tmp"): Place => {
  // podman takes the path of an image layout for a name: lower case.
  const directory = `${parent}/cricket-${name}-${randomBytes(6).toString("hex")}`
  mkdirSync(directory, { mode: 0o700 })
  const graphRoot = `${directory}/graph`
  const runRoot = `${directory}/run`
  // Never synchronous: the thread that waits for podman may hold the lock for which podman waits.
  const podman = (...args: ReadonlyArray<string>) =>
    Effect.callback<string, Error>((resume) => {
      const all = ["--root", graphRoot, "--runroot", runRoot, "--storage-driver", "overlay", ...args]
      const child = execFile("podman", all, { maxBuffer: 2 ** 26 }, (error, stdout, stderr) =>
        resume(error === null ? Effect.succeed(stdout) : Effect.fail(new Error(`podman ${args.join(" ")}: ${stderr}`)))
      )
      return Effect.sync(() => child.kill("SIGKILL"))
    })
  return { directory, graphRoot, runRoot, podman }
}

/** Unmounts whatever is left below the place, then removes it. */
export const removePlace = (place: Place): void => {
  const mounted = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((target) => target.startsWith(`${place.directory}/`))
  for (const target of mounted.toReversed()) execFileSync("umount", ["-l", target])
  rmSync(place.directory, { recursive: true, force: true })
}

/** Fresh with every call: two of them are two daemons. */
export const storeLayer = (place: Place) =>
  Layer.fresh(Layer.mergeAll(ImageStore.layer, ContainerStore.layer)).pipe(
    Layer.provide(Layer.mergeAll(Files.layer, Locks.layer, Mounts.layer, LayerUnpacker.layer)),
    Layer.provide(Layer.succeed(StoreSettings, { graphRoot: place.graphRoot, runRoot: place.runRoot }))
  )

export const chunksOf = (bytes: Uint8Array, size = 50_000): Stream.Stream<Uint8Array> =>
  Stream.fromIterable(
    Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size))
  )

/** What a pull does once it has the blobs. */
export const install = Effect.fnUntraced(function* (image: BuiltImage, ...names: ReadonlyArray<string>) {
  const store = yield* ImageStore
  const diffIds = image.layers.map((layer) => sha256(layer.tar))
  const existing = yield* store.existingLayers(diffIds)
  const staged = yield* Effect.forEach(
    image.layers.slice(existing),
    (layer) =>
      store.stageLayer({
        diffId: sha256(layer.tar),
        blobDigest: sha256(layer.blob),
        blobSize: layer.blob.length,
        compression: layer.compression,
        blob: chunksOf(layer.blob)
      }),
    { concurrency: "unbounded" }
  )
  return yield* store.commit({
    manifest: image.manifest,
    manifestDigest: sha256(image.manifest),
    config: image.config,
    names,
    layers: [...diffIds.slice(0, existing).map((diffId) => ({ existing: diffId })), ...staged]
  })
}, Effect.scoped)

const libc = koffi.load("libc.so.6")
const listXattr = libc.func("intptr_t llistxattr(const char *path, void *list, size_t size)")
const getXattr = libc.func("intptr_t lgetxattr(const char *path, const char *name, void *value, size_t size)")
const putXattr = libc.func(
  "int lsetxattr(const char *path, const char *name, const void *value, size_t size, int flags)"
)

export const setXattr = (path: string, name: string, value: Buffer): void => {
  if (putXattr(path, name, value, value.length, 0) !== 0) throw new Error(`lsetxattr ${path} ${name}`)
}

/** "name=hex" of each attribute, sorted. */
export const xattrsOf = (path: string): ReadonlyArray<string> => {
  const buffer = Buffer.alloc(65_536)
  const names = buffer.toString("latin1", 0, Math.max(0, listXattr(path, buffer, buffer.length))).split("\0")
  return names
    .filter((name) => name !== "")
    .map((name) => `${name}=${buffer.toString("hex", 0, getXattr(path, name, buffer, buffer.length))}`)
    .sort()
}

const xattrsBelow = (directory: string): string =>
  readdirSync(directory, { recursive: true, encoding: "utf8" })
    .sort()
    .flatMap((path) => xattrsOf(`${directory}/${path}`).map((text) => `${path} ${text}\n`))
    .join("")

/** Every file below a directory with all that an archive can say about it, one line each. */
export const describeTree = (directory: string): string =>
  execFileSync(
    "sh",
    [
      "-c",
      `find . -printf '%P|%y|%m|%U:%G|%s|%l|%n|%T@\\n' | sed -E '/[|]d[|]/s/[|][0-9]+[|]([^|]*)[|][0-9]+[|]/|-|\\1|-|/' | LC_ALL=C sort
       find . -type f -exec sha256sum {} + | LC_ALL=C sort; find . \\( -type c -o -type b \\) -exec stat -c '%n %t:%T' {} + | LC_ALL=C sort`
    ],
    { cwd: directory, encoding: "latin1", maxBuffer: 2 ** 28 }
  ) + xattrsBelow(directory)
