/** LayerUnpacker over a world: reads the simple layer form of `images.ts`, with true digests. */
import { Effect, Layer, Stream } from "effect"
import { createHash } from "node:crypto"
import { LayerUnpacker, UnpackError, type UnpackRequest, type UnpackedLayer } from "../../../src/linux/LayerUnpacker.ts"
import { Errno } from "../Errno.ts"
import { inflate, type LayerEntry } from "../images.ts"
import { DeviceNode, DiskDirectory, FileNode, makeDurable } from "../Node.ts"
import type { Vfs } from "../Vfs.ts"
import type { Seam } from "./Seam.ts"

const sha256 = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`

const ascending = (values: Iterable<number>): ReadonlyArray<number> => [...new Set(values)].sort((a, b) => a - b)

const writeEntry = (vfs: Vfs, root: string, entry: LayerEntry): void => {
  const path = `/${entry.path}`.replace(/\/+/g, "/")
  if (path.split("/").includes("..")) throw new Errno("EINVAL", "path leaves the layer")
  const target = `${root}${path}`
  const parent = path.slice(0, path.lastIndexOf("/"))
  if (parent !== "") vfs.makeDirectoryInRoot(root, parent, 0o755, 0, 0)
  const mode = entry.mode ?? (entry.type === "directory" ? 0o755 : 0o644)
  switch (entry.type) {
    case "directory":
      if (!vfs.exists(target)) vfs.makeDirectory(target, mode)
      vfs.directory(target).opaque = entry.opaque ?? false
      break
    case "symlink":
      return vfs.symlink(entry.target ?? "", target)
    case "whiteout":
      return vfs.place(target, (directory) => new DeviceNode(directory.home(), "character", 0, 0))
    case "file":
      vfs.write(target, entry.content ?? "", mode)
  }
  vfs.chmod(target, mode)
  vfs.chown(target, entry.uid ?? 0, entry.gid ?? 0)
}

export const layerUnpackerLayer = (seam: Seam): Layer.Layer<LayerUnpacker> => {
  const { world } = seam

  const unpack = Effect.fnUntraced(function* <E>(request: UnpackRequest<E>) {
    const { directory } = request
    const refuse = (entry: string, reason: string) => new UnpackError({ directory, entry, reason })
    const chunks: Array<Uint8Array> = []
    let size = 0
    yield* Stream.runForEach(request.blob, (chunk) => {
      chunks.push(chunk)
      size += chunk.length
      return size > request.blobSize
        ? Effect.fail(refuse("", `the blob has more than the ${request.blobSize} bytes of its descriptor`))
        : Effect.void
    })
    const blob = Buffer.concat(chunks)
    const tar = inflate(blob, request.compression)
    if (tar === undefined) return yield* refuse("", `not ${request.compression} data`)
    const parsed = yield* Effect.try({
      try: () => JSON.parse(Buffer.from(tar).toString()) as { readonly entries: ReadonlyArray<LayerEntry> },
      catch: () => refuse("", "damaged archive")
    })
    const write = (entries: ReadonlyArray<LayerEntry>) =>
      Effect.forEach(
        entries,
        (entry) =>
          Effect.try({
            try: () => writeEntry(world.vfs, directory, entry),
            catch: (error) => refuse(entry.path, error instanceof Errno ? error.code : String(error))
          }),
        { discard: true }
      )
    const half = Math.ceil(parsed.entries.length / 2)
    yield* write(parsed.entries.slice(0, half))
    // The files of a layer appear one by one: here some are there and some are not.
    yield* Effect.sleep(1)
    yield* seam.midpoint("LayerUnpacker", "unpack", directory)
    yield* write(parsed.entries.slice(half))
    yield* Effect.try({
      try: () => {
        world.vfs.write(
          request.tarSplitPath,
          JSON.stringify({ entries: parsed.entries.map((entry) => entry.path) }),
          0o600
        )
        const node = world.vfs.directory(directory)
        // The real one ends with syncfs(2); here only what was asked for becomes durable.
        if (node instanceof DiskDirectory) makeDurable(node)
        const split = world.vfs.paths.find(request.tarSplitPath, { follow: true }).node
        if (split instanceof FileNode) split.sync()
      },
      catch: (error) => refuse("", error instanceof Errno ? error.code : String(error))
    })
    return {
      blobDigest: sha256(blob),
      blobSize: blob.length,
      diffId: sha256(tar),
      diffSize: tar.length,
      uids: ascending(parsed.entries.map((entry) => entry.uid ?? 0)),
      gids: ascending(parsed.entries.map((entry) => entry.gid ?? 0))
    } satisfies UnpackedLayer
  })

  return Layer.succeed(LayerUnpacker, {
    unpack: (request) =>
      world.calls.pass(
        seam.life,
        { service: "LayerUnpacker", operation: "unpack", subject: request.directory, failable: true },
        (code) => new UnpackError({ directory: request.directory, entry: "", reason: code }),
        unpack(request)
      )
  })
}
