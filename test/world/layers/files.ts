/** Files over a world. */
import { Effect, Layer, Queue, Scope, Stream, type Cause } from "effect"
import { Files, type FileSystemStat, type OpenFile } from "../../../src/linux/Files.ts"
import type { LinuxError } from "../../../src/linux/LinuxError.ts"
import { diskUsage } from "../diskUsage.ts"
import { Errno } from "../Errno.ts"
import type { OpenNode } from "../OpenNode.ts"
import type { Seam } from "./Seam.ts"

const defaultMaxBytes = 64 * 1024 * 1024

const room: FileSystemStat = {
  totalBytes: 107_374_182_400n,
  freeBytes: 64_424_509_440n,
  totalInodes: 6_553_600n,
  freeInodes: 6_000_000n
}

const unlessAbsent = <A>(act: () => A): A | undefined => {
  try {
    return act()
  } catch (error) {
    if (error instanceof Errno && ["ENOENT", "ENOTDIR", "ENODEV", "ESRCH", "EOPNOTSUPP"].includes(error.code))
      return undefined
    throw error
  }
}

export const filesLayer = (seam: Seam): Layer.Layer<Files> => {
  const { world } = seam
  const vfs = () => world.vfs
  const call = <A>(operation: string, path: string, act: () => A) => seam.sync("Files", operation, path, act)

  const openFile = (path: string, node: OpenNode): OpenFile => ({
    read: (offset, length) => call("read", path, () => node.read(offset, length)),
    write: (data) => call("write", path, () => node.write(data)),
    writeAt: (offset, data) => call("writeAt", path, () => node.writeAt(offset, data)),
    sync: call("sync", path, () => node.sync())
  })

  const removeTree = Effect.fnUntraced(function* (path: string) {
    const entries = yield* call("removeTree", path, () => (vfs().exists(path) ? [...vfs().treeUpwards(path)] : []))
    const remove = (part: typeof entries) => {
      for (const entry of part) {
        if (!vfs().exists(entry.path)) continue
        if (entry.directory) vfs().removeDirectory(entry.path)
        else vfs().removeFile(entry.path)
      }
    }
    const half = Math.floor(entries.length / 2)
    if (half > 0) {
      remove(entries.slice(0, half))
      yield* seam.midpoint("Files", "removeTree", path)
    }
    remove(entries.slice(half))
  })

  const watch = (directory: string): Stream.Stream<string, LinuxError> =>
    Stream.unwrap(
      Effect.gen(function* () {
        const queue = yield* Queue.sliding<string, Cause.Done>(4096)
        const scope = yield* Scope.Scope
        const stop = yield* call("watch", directory, () => {
          const node = vfs().directory(directory)
          return vfs().watch(node, (name) => {
            if (seam.life.dead()) return
            if (name === undefined) Queue.endUnsafe(queue)
            else Queue.offerUnsafe(queue, name)
          })
        })
        yield* Scope.addFinalizer(scope, Effect.sync(stop))
        return Stream.fromQueue(queue)
      })
    )

  return Layer.succeed(Files, {
    readFile: (path, options) => call("readFile", path, () => vfs().read(path, options?.maxBytes ?? defaultMaxBytes)),
    readText: (path, options) =>
      call("readText", path, () => new TextDecoder().decode(vfs().read(path, options?.maxBytes ?? defaultMaxBytes))),
    readKernelTexts: (paths) =>
      call("readKernelTexts", paths.join(" "), () => paths.map((path) => unlessAbsent(() => vfs().readText(path)))),
    // Nothing stays open here.
    closeKernelTexts: () => Effect.void,
    readKernelLinks: (directory, limit) =>
      call("readKernelLinks", directory, () =>
        unlessAbsent(() =>
          vfs()
            .list(directory)
            .slice(0, limit)
            .map((name) => vfs().readLink(`${directory}/${name}`))
        )
      ),
    readInRoot: (root, path, options) =>
      call("readInRoot", `${root} ${path}`, () => vfs().readInRoot(root, path, options?.maxBytes ?? defaultMaxBytes)),
    resolveInRoot: (root, path) => call("resolveInRoot", `${root} ${path}`, () => vfs().resolveInRoot(root, path)),
    makeDirectoryInRoot: (root, path, options) =>
      call("makeDirectoryInRoot", `${root} ${path}`, () =>
        vfs().makeDirectoryInRoot(root, path, options.mode, options.uid, options.gid)
      ),
    writeExisting: (path, data) => call("writeExisting", path, () => vfs().writeExisting(path, data)),
    attendFifo: (path) =>
      Effect.acquireRelease(
        call("attendFifo", path, () => seam.descriptor(vfs().attendFifo(path))),
        (letGo) => seam.finalizer(letGo)
      ).pipe(Effect.asVoid),
    open: (path, mode, permissions) =>
      seam
        .scoped(
          call("open", `${path} ${mode}`, () => {
            // What is written is never reached through a link.
            if (
              mode !== "read" &&
              mode !== "create" &&
              vfs().exists(path) &&
              vfs().stat(path, false).kind === "symlink"
            ) {
              throw new Errno("ELOOP")
            }
            const node = vfs().open(path, mode, permissions)
            return { node, letGo: vfs().table.hold(node.location.mount, () => !seam.life.dead()) }
          }),
          ({ letGo }) => letGo()
        )
        .pipe(Effect.map(({ node }) => openFile(path, node))),
    syncDirectory: (path) => call("syncDirectory", path, () => vfs().directory(path).sync()),
    makeDirectory: (path, options) =>
      call("makeDirectory", path, () =>
        options?.recursive === true
          ? vfs().makeDirectories(path, options.mode)
          : vfs().makeDirectory(path, options?.mode)
      ),
    readDirectory: (path) => call("readDirectory", path, () => vfs().list(path)),
    readDirectoryEntries: (path) => call("readDirectoryEntries", path, () => vfs().entries(path)),
    rename: (from, to) => call("rename", `${from} ${to}`, () => vfs().rename(from, to)),
    link: (existing, path) => call("link", `${existing} ${path}`, () => vfs().link(existing, path)),
    symlink: (target, path) => call("symlink", `${target} ${path}`, () => vfs().symlink(target, path)),
    readLink: (path) => call("readLink", path, () => vfs().readLink(path)),
    realPath: (path) => call("realPath", path, () => vfs().realPath(path)),
    removeFile: (path) => call("removeFile", path, () => vfs().removeFile(path)),
    removeVolatile: (path) =>
      call("removeVolatile", path, () => {
        if (vfs().exists(path)) vfs().removeFile(path)
      }),
    removeDirectory: (path) => call("removeDirectory", path, () => vfs().removeDirectory(path)),
    removeTree: (path) => removeTree(path),
    stat: (path) => call("stat", path, () => vfs().stat(path, true)),
    lstat: (path) => call("lstat", path, () => vfs().stat(path, false)),
    chmod: (path, mode) => call("chmod", path, () => vfs().chmod(path, mode)),
    chown: (path, uid, gid) => call("chown", path, () => vfs().chown(path, uid, gid)),
    statFileSystem: (path) =>
      call("statFileSystem", path, () => {
        vfs().paths.find(path, { follow: true })
        return room
      }),
    diskUsage: (path) => call("diskUsage", path, () => diskUsage(vfs().paths, path)),
    watch
  })
}
