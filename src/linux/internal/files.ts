/** Files on the real host, by node:fs where that is enough and by the C library where the path is not to be trusted. */
import { Effect } from "effect"
import { constants, type Dirent, fstatSync, type Stats, unlinkSync } from "node:fs"
import * as fs from "node:fs/promises"
import { posix } from "node:path"
import type { DirectoryEntry, Files, FileKind, FileStat, OpenFile, OpenMode, ReadOptions } from "../Files.ts"
import { attempt, attemptSync, attemptSteps, codeOf, Refused } from "./attempt.ts"
import { type DirectoryOwner, makeDirectoryInRoot, readInRoot, resolveInRoot } from "./inRoot.ts"
import { openRegular, readWhole } from "./readWhole.ts"
import { makeKernelTexts, readKernelLinks } from "./kernelTexts.ts"
import { diskUsage, removeTree } from "./tree.ts"
import { watchDirectory } from "./watch.ts"

const defaultMaxBytes = 64 * 1024 * 1024
const maxBytesOf = (options?: ReadOptions) => options?.maxBytes ?? defaultMaxBytes

const kindOf = (stat: Stats | Dirent): FileKind => {
  if (stat.isFile()) return "file"
  if (stat.isDirectory()) return "directory"
  if (stat.isSymbolicLink()) return "symlink"
  if (stat.isFIFO()) return "fifo"
  if (stat.isSocket()) return "socket"
  return stat.isBlockDevice() ? "block" : "character"
}

const fileStat = (stat: Stats): FileStat => {
  const kind = kindOf(stat)
  return {
    kind,
    mode: stat.mode & 0o7777,
    uid: stat.uid,
    gid: stat.gid,
    size: stat.size,
    inode: stat.ino,
    device: stat.dev,
    specialDevice: kind === "block" || kind === "character" ? stat.rdev : 0,
    modifiedMs: stat.mtimeMs
  }
}

const { O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } = constants

const openFlags: Readonly<Record<OpenMode, number>> = {
  read: O_RDONLY,
  write: O_RDWR | O_NOFOLLOW,
  create: O_RDWR | O_NOFOLLOW | O_CREAT | O_EXCL,
  truncate: O_RDWR | O_NOFOLLOW | O_TRUNC,
  append: O_RDWR | O_NOFOLLOW | O_APPEND
}

/** The umask, or an access list of the directory, may have cut the permissions. */
const exactly = async (file: fs.FileHandle, permissions: number): Promise<fs.FileHandle> => {
  try {
    if ((fstatSync(file.fd).mode & 0o7777) !== permissions) await file.chmod(permissions)
    return file
  } catch (error) {
    await file.close()
    throw error
  }
}

const createFile = async (path: string, flags: number, permissions: number) =>
  exactly(await fs.open(path, flags | O_CREAT | O_EXCL, permissions), permissions)

const openFile = async (path: string, mode: OpenMode, permissions: number): Promise<fs.FileHandle> => {
  const flags = openFlags[mode]
  if (mode === "create") return createFile(path, flags, permissions)
  if (mode === "read" || mode === "write") return (await openRegular(path, flags)).file
  // Only a file that we make gets the permissions; between the two calls it may come or go, hence again.
  for (let attempts = 0; ; attempts++) {
    try {
      return (await openRegular(path, flags)).file
    } catch (error) {
      if (codeOf(error) !== "ENOENT") throw error
    }
    try {
      return await createFile(path, flags, permissions)
    } catch (error) {
      if (codeOf(error) !== "EEXIST" || attempts === 10) throw error
    }
  }
}

const readAt = async (file: fs.FileHandle, offset: number, length: number): Promise<Uint8Array> => {
  const buffer = Buffer.allocUnsafe(length)
  let total = 0
  while (total < length) {
    const { bytesRead } = await file.read(buffer, total, length - total, offset + total)
    if (bytesRead === 0) break
    total += bytesRead
  }
  return buffer.subarray(0, total)
}

const writeAll = async (file: fs.FileHandle, data: Uint8Array, offset: number | null): Promise<void> => {
  for (let done = 0; done < data.length;) {
    const { bytesWritten } = await file.write(data, done, data.length - done, offset === null ? null : offset + done)
    done += bytesWritten
  }
}

const openFileOf = (path: string, file: fs.FileHandle): OpenFile => ({
  read: (offset, length) => attempt("read", path, () => readAt(file, offset, length)),
  write: (data) => attempt("write", path, () => writeAll(file, data, null)),
  writeAt: (offset, data) => attempt("write", path, () => writeAll(file, data, offset)),
  sync: attempt("sync", path, () => file.sync())
})

const writeExisting = async (path: string, data: string): Promise<void> => {
  const file = await fs.open(path, O_WRONLY | O_NONBLOCK | constants.O_NOCTTY)
  try {
    const bytes = Buffer.from(data)
    const { bytesWritten } = await file.write(bytes)
    if (bytesWritten < bytes.length) throw new Refused("EIO", `took ${bytesWritten} of ${bytes.length} bytes`)
  } finally {
    await file.close()
  }
}

const openFifo = async (path: string): Promise<fs.FileHandle> => {
  const file = await fs.open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW)
  if (fstatSync(file.fd).isFIFO()) return file
  await file.close()
  throw new Refused("EINVAL", "is no FIFO")
}

// Writes that matter were synced; close(2) has nothing to add that a caller could act on.
const closing = (path: string) => (file: fs.FileHandle) => Effect.ignore(attempt("close", path, () => file.close()))

const syncDirectory = async (path: string): Promise<void> => {
  const directory = await fs.open(path, O_RDONLY | constants.O_DIRECTORY)
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

const makeDirectory = async (path: string, mode: number, recursive: boolean): Promise<void> => {
  try {
    await fs.mkdir(path, mode)
  } catch (error) {
    const code = codeOf(error)
    if (!recursive) throw error
    if (code === "EEXIST" && (await fs.stat(path)).isDirectory()) return
    if (code !== "ENOENT") throw error
    const parent = posix.dirname(path)
    if (parent === path) throw error
    await makeDirectory(parent, mode, true)
    return makeDirectory(path, mode, true)
  }
  await fs.chmod(path, mode)
}

const statFileSystem = async (path: string) => {
  const stat = await fs.statfs(path, { bigint: true })
  return {
    totalBytes: stat.blocks * stat.bsize,
    freeBytes: stat.bavail * stat.bsize,
    totalInodes: stat.files,
    freeInodes: stat.ffree
  }
}

export const makeFiles = Effect.map(makeKernelTexts, (kernelTexts): Files["Service"] => {
  const readFile = Effect.fn("Files.readFile")((path: string, options?: ReadOptions) =>
    attempt("read", path, () => readWhole(path, maxBytesOf(options)))
  )
  return {
    readFile,
    readText: Effect.fn("Files.readText")((path: string, options?: ReadOptions) =>
      Effect.map(readFile(path, options), (bytes) => Buffer.from(bytes).toString("utf8"))
    ),
    readKernelTexts: (paths: ReadonlyArray<string>, { keepOpen = false } = {}) => kernelTexts.read(paths, keepOpen),
    closeKernelTexts: kernelTexts.close,
    readKernelLinks: Effect.fn("Files.readKernelLinks")((directory: string, limit: number) =>
      attempt("readlink", directory, () => readKernelLinks(directory, limit))
    ),
    readInRoot: Effect.fn("Files.readInRoot")((root: string, path: string, options?: ReadOptions) =>
      attempt("read", `${path} in ${root}`, () => readInRoot(root, path, maxBytesOf(options)))
    ),
    resolveInRoot: Effect.fn("Files.resolveInRoot")((root: string, path: string) =>
      attemptSync("resolve", `${path} in ${root}`, () => resolveInRoot(root, path))
    ),
    makeDirectoryInRoot: Effect.fn("Files.makeDirectoryInRoot")((root: string, path: string, options: DirectoryOwner) =>
      attempt("mkdir", `${path} in ${root}`, async () => makeDirectoryInRoot(root, path, options))
    ),
    writeExisting: Effect.fn("Files.writeExisting")((path: string, data: string) =>
      attempt("write", path, () => writeExisting(path, data))
    ),
    attendFifo: Effect.fn("Files.attendFifo")((path: string) =>
      Effect.asVoid(
        Effect.acquireRelease(
          attempt("open", path, () => openFifo(path)),
          closing(path)
        )
      )
    ),
    open: Effect.fn("Files.open")((path: string, mode: OpenMode, permissions = 0o644) =>
      Effect.map(
        Effect.acquireRelease(
          attempt("open", path, () => openFile(path, mode, permissions)),
          closing(path)
        ),
        (file) => openFileOf(path, file)
      )
    ),
    syncDirectory: Effect.fn("Files.syncDirectory")((path: string) => attempt("sync", path, () => syncDirectory(path))),
    makeDirectory: Effect.fn("Files.makeDirectory")(
      (path: string, options?: { readonly mode?: number; readonly recursive?: boolean }) =>
        attempt("mkdir", path, () => makeDirectory(path, options?.mode ?? 0o755, options?.recursive ?? false))
    ),
    readDirectory: Effect.fn("Files.readDirectory")((path: string) =>
      attempt("readdir", path, async () => (await fs.readdir(path)).sort())
    ),
    readDirectoryEntries: Effect.fn("Files.readDirectoryEntries")((path: string) =>
      attempt("readdir", path, async () =>
        (await fs.readdir(path, { withFileTypes: true }))
          .map((entry): DirectoryEntry => ({ name: entry.name, kind: kindOf(entry) }))
          .sort((a, b) => (a.name < b.name ? -1 : 1))
      )
    ),
    rename: Effect.fn("Files.rename")((from: string, to: string) =>
      attempt("rename", `${from} to ${to}`, () => fs.rename(from, to))
    ),
    link: Effect.fn("Files.link")((existing: string, path: string) =>
      attempt("link", `${path} to ${existing}`, () => fs.link(existing, path))
    ),
    symlink: Effect.fn("Files.symlink")((target: string, path: string) =>
      attempt("symlink", `${path} to ${target}`, () => fs.symlink(target, path))
    ),
    readLink: Effect.fn("Files.readLink")((path: string) => attempt("readlink", path, () => fs.readlink(path))),
    realPath: Effect.fn("Files.realPath")((path: string) => attempt("realpath", path, () => fs.realpath(path))),
    removeFile: Effect.fn("Files.removeFile")((path: string) => attempt("unlink", path, () => fs.unlink(path))),
    removeVolatile: (path: string) =>
      attemptSync("unlink", path, () => {
        try {
          unlinkSync(path)
        } catch (error) {
          if (!["ENOENT", "ENOTDIR"].includes(codeOf(error) ?? "")) throw error
        }
      }),
    removeDirectory: Effect.fn("Files.removeDirectory")((path: string) => attempt("rmdir", path, () => fs.rmdir(path))),
    removeTree: Effect.fn("Files.removeTree")((path: string) =>
      attemptSteps("remove", path, (signal) => removeTree(path, signal))
    ),
    stat: Effect.fn("Files.stat")((path: string) => attempt("stat", path, async () => fileStat(await fs.stat(path)))),
    lstat: Effect.fn("Files.lstat")((path: string) =>
      attempt("lstat", path, async () => fileStat(await fs.lstat(path)))
    ),
    chmod: Effect.fn("Files.chmod")((path: string, mode: number) => attempt("chmod", path, () => fs.chmod(path, mode))),
    chown: Effect.fn("Files.chown")((path: string, uid: number, gid: number) =>
      attempt("chown", path, () => fs.chown(path, uid, gid))
    ),
    statFileSystem: Effect.fn("Files.statFileSystem")((path: string) =>
      attempt("statfs", path, () => statFileSystem(path))
    ),
    diskUsage: Effect.fn("Files.diskUsage")((path: string) =>
      attemptSteps("du", path, (signal) => diskUsage(path, signal))
    ),
    watch: watchDirectory
  } satisfies Record<keyof Files["Service"], unknown>
})
