/**
 * Walks over trees that a container may have written, or still writes: every directory is opened below its parent's
 * descriptor without following links or crossing a mount, so nothing outside the tree is ever touched. Names are bytes.
 * Few descriptors are held however deep the tree is.
 */
import { type Dirent, lstat, opendir, type OpenDirOptions, rename, rmdir, unlink } from "node:fs"
import { posix } from "node:path"
import { promisify } from "node:util"
import { codeOf, Refused } from "./attempt.ts"
import {
  close,
  type Fd,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  openat2,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV
} from "./native.ts"

type Name = Buffer

const AT_FDCWD = -100
const within = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV
// node:fs calls of one walk in flight: the pool has four threads, and others need them too.
const width = 2

const unlinkAsync = promisify(unlink)
const rmdirAsync = promisify(rmdir)
const renameAsync = promisify(rename)
const lstatAsync = promisify(lstat)
const opendirAsync = promisify(opendir)

const at = (directory: Fd, name: Name): Buffer => Buffer.concat([Buffer.from(`/proc/self/fd/${directory}/`), name])

// As many entries of a directory are in hand at a time: a large one must neither fill memory nor hold the event loop.
const batchSize = 128

async function* batchesOf(directory: Fd): AsyncGenerator<ReadonlyArray<Dirent<Name>>> {
  const options = { encoding: "buffer", bufferSize: batchSize }
  // The types do not know that names can be bytes here too.
  const entries = (await opendirAsync(
    `/proc/self/fd/${directory}`,
    options as OpenDirOptions
  )) as unknown as AsyncIterable<Dirent<Name>>
  let batch: Array<Dirent<Name>> = []
  for await (const entry of entries) {
    batch.push(entry)
    if (batch.length === batchSize) {
      yield batch
      batch = []
    }
  }
  if (batch.length > 0) yield batch
}

/** A directory's descriptor, or undefined when it went meanwhile or has become something else. */
const openDirectory = (parent: Fd, name: Name): Fd | undefined => {
  try {
    return openat2(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, within)
  } catch (error) {
    const code = codeOf(error)
    if (code === "ENOENT" || code === "ENOTDIR" || code === "ELOOP") return undefined
    throw error
  }
}

const eachOf = async <A>(items: ReadonlyArray<A>, signal: AbortSignal, visit: (item: A) => Promise<void>) => {
  for (let index = 0; index < items.length; index += width) {
    signal.throwIfAborted()
    await Promise.all(items.slice(index, index + width).map(visit))
  }
}

const unlessGone = (error: unknown) => {
  const code = codeOf(error)
  if (code !== "ENOENT" && code !== "ENOTDIR") throw error
}

// Deeper directories are first moved up to the top of the tree, so that the walk holds at most this many descriptors.
const maxDepth = 64

/** Removes what is in an open directory. */
const clear = async (top: Fd, directory: Fd, depth: number, next: () => Name, signal: AbortSignal): Promise<void> => {
  // More than one pass only when somebody adds entries meanwhile, or deep directories were moved up here.
  for (let empty = false; !empty;) {
    empty = true
    for await (const entries of batchesOf(directory)) {
      empty = false
      const files = entries.filter((entry) => !entry.isDirectory())
      await eachOf(files, signal, (entry) => unlinkAsync(at(directory, entry.name)).catch(unlessGone))
      for (const { name } of entries.filter((entry) => entry.isDirectory())) {
        signal.throwIfAborted()
        if (depth === maxDepth) await renameAsync(at(directory, name), at(top, next())).catch(unlessGone)
        else await removeDirectory(top, directory, name, depth + 1, next, signal)
      }
    }
  }
}

const removeDirectory = async (
  top: Fd | undefined,
  parent: Fd,
  name: Name,
  depth: number,
  next: () => Name,
  signal: AbortSignal
): Promise<void> => {
  const directory = openDirectory(parent, name)
  if (directory === undefined) return
  try {
    await clear(top ?? directory, directory, depth, next, signal)
  } finally {
    close(directory)
  }
  await rmdirAsync(at(parent, name)).catch(unlessGone)
}

/** rm -rf. EBUSY at the first mount point; what was removed before stays removed. */
export const removeTree = async (path: string, signal: AbortSignal): Promise<void> => {
  const { dir, base } = posix.parse(posix.resolve("/", path))
  if (base === "") throw new Refused("EBUSY", "is the root of the file system")
  let parent: Fd
  try {
    parent = openat2(AT_FDCWD, dir, O_PATH | O_DIRECTORY, 0)
  } catch (error) {
    return unlessGone(error)
  }
  try {
    const name = Buffer.from(base)
    const found = await lstatAsync(at(parent, name)).catch(unlessGone)
    if (found === undefined) return
    let moved = 0
    const next = () => Buffer.from(`.cricket-removing-${process.pid}-${moved++}`)
    if (found.isDirectory()) await removeDirectory(undefined, parent, name, 0, next, signal)
    else await unlinkAsync(at(parent, name)).catch(unlessGone)
  } catch (error) {
    // openat2's word for a mount point.
    throw codeOf(error) === "EXDEV" ? new Refused("EBUSY", "something is mounted below") : error
  } finally {
    close(parent)
  }
}

// openat2 takes paths below 4096 bytes; longer ones are opened in parts.
const maxPart = 3072

/** Opens a directory at any depth below another. */
const openBelow = (root: Fd, path: Name): Fd | undefined => {
  let from = root
  for (let rest = path; ;) {
    const cut = rest.length <= maxPart ? -1 : rest.lastIndexOf("/", maxPart)
    const opened = openDirectory(from, cut === -1 ? rest : rest.subarray(0, cut))
    if (from !== root) close(from)
    if (opened === undefined || cut === -1) return opened
    from = opened
    rest = rest.subarray(cut + 1)
  }
}

/** du: each inode once, allocated bytes, the top directory included; other mounts are left out. */
export const diskUsage = async (path: string, signal: AbortSignal): Promise<{ bytes: bigint; inodes: bigint }> => {
  const top = await lstatAsync(path, { bigint: true })
  if (!top.isDirectory()) return { bytes: top.blocks * 512n, inodes: 1n }
  const root = openat2(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0)
  try {
    let bytes = 0n
    let inodes = 0n
    const linked = new Set<bigint>()
    const count = async (file: Buffer): Promise<void> => {
      const stat = await lstatAsync(file, { bigint: true }).catch(unlessGone)
      if (stat === undefined) return
      if (stat.nlink > 1n && !stat.isDirectory()) {
        if (linked.has(stat.ino)) return
        linked.add(stat.ino)
      }
      bytes += stat.blocks * 512n
      inodes += 1n
    }
    const pending: Array<Name> = [Buffer.from(".")]
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      signal.throwIfAborted()
      const directory = openUnmounted(root, name)
      if (directory === undefined) continue
      try {
        await count(at(directory, Buffer.from(".")))
        for await (const entries of batchesOf(directory)) {
          const files = entries.filter((entry) => !entry.isDirectory())
          await eachOf(files, signal, (entry) => count(at(directory, entry.name)))
          for (const entry of entries) {
            if (entry.isDirectory()) pending.push(Buffer.concat([name, Buffer.from("/"), entry.name]))
          }
        }
      } finally {
        close(directory)
      }
    }
    return { bytes, inodes }
  } finally {
    close(root)
  }
}

const openUnmounted = (root: Fd, name: Name): Fd | undefined => {
  try {
    return openBelow(root, name)
  } catch (error) {
    if (codeOf(error) === "EXDEV") return undefined
    throw error
  }
}
