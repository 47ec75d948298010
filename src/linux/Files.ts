/** Files and directories of the host: the part of the seam through which every record, log and cgroup file passes. */
import { Context, type Effect, Layer, type Scope, type Stream } from "effect"
import { makeFiles } from "./internal/files.ts"
import type { LinuxError } from "./LinuxError.ts"

export type FileKind = "file" | "directory" | "symlink" | "fifo" | "socket" | "character" | "block"

export interface DirectoryEntry {
  readonly name: string
  readonly kind: FileKind
}

export interface FileStat {
  readonly kind: FileKind
  /** Permission bits only (07777). */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Bytes. */
  readonly size: number
  readonly inode: number
  /** Device number of the file system that holds the file. */
  readonly device: number
  /** Device number of a character or block device, else 0. */
  readonly specialDevice: number
  /** Milliseconds since the epoch. */
  readonly modifiedMs: number
}

export interface FileSystemStat {
  /** All in bytes. */
  readonly totalBytes: bigint
  /** What an ordinary user may still write (df's "available"). */
  readonly freeBytes: bigint
  readonly totalInodes: bigint
  readonly freeInodes: bigint
}

/** How a file is opened: "create" fails with EEXIST, "truncate" and "append" make the file where there is none. */
export type OpenMode = "read" | "write" | "create" | "truncate" | "append"

/** An open file. Writes go to the page cache; only `sync` makes them survive a power loss. */
export interface OpenFile {
  readonly read: (offset: number, length: number) => Effect.Effect<Uint8Array, LinuxError>
  /** Writes everything, at the end of what was written before. */
  readonly write: (data: Uint8Array) => Effect.Effect<void, LinuxError>
  /** Writes everything at a byte offset. */
  readonly writeAt: (offset: number, data: Uint8Array) => Effect.Effect<void, LinuxError>
  readonly sync: Effect.Effect<void, LinuxError>
}

export interface ReadOptions {
  /** Fails with EFBIG above this many bytes. Default 64 MiB. */
  readonly maxBytes?: number
}

export class Files extends Context.Service<
  Files,
  {
    /** Follows links. Special files are refused (EINVAL): a FIFO would block for ever. /proc, /sys and cgroup files are fine. */
    readonly readFile: (path: string, options?: ReadOptions) => Effect.Effect<Uint8Array, LinuxError>
    readonly readText: (path: string, options?: ReadOptions) => Effect.Effect<string, LinuxError>
    /**
     * Texts that the kernel makes up in memory: files of cgroups and of /proc, and no others. They are read at once, some
     * microseconds each; a thread of the pool would cost ten times that. Undefined for one that is not there, has gone
     * while it was open, or is switched off (ENOENT, ENOTDIR, ENODEV, ESRCH, EOPNOTSUPP). `keepOpen` is for those that
     * are read again and again: then they are open already, until nobody has read them for a minute, or until
     * `closeKernelTexts` says that their directory goes.
     */
    readonly readKernelTexts: (
      paths: ReadonlyArray<string>,
      options?: { readonly keepOpen?: boolean }
    ) => Effect.Effect<ReadonlyArray<string | undefined>, LinuxError>
    readonly closeKernelTexts: (directory: string) => Effect.Effect<void>
    /**
     * Where the links of a directory lead that the kernel makes up (/proc/PID/fd), of at most `limit` of them. Undefined
     * when the directory is not there.
     */
    readonly readKernelLinks: (
      directory: string,
      limit: number
    ) => Effect.Effect<ReadonlyArray<string> | undefined, LinuxError>
    /**
     * Reads a regular file as a process inside `root` would name it: links resolve below `root`, magic links and
     * special files are refused (openat2 RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS, O_NONBLOCK). For image content.
     */
    readonly readInRoot: (root: string, path: string, options?: ReadOptions) => Effect.Effect<Uint8Array, LinuxError>
    /**
     * The real path of what a process inside `root` would name so, never outside of `root`: every link is resolved, as
     * by `readInRoot`. Good as long as nobody changes the tree.
     */
    readonly resolveInRoot: (root: string, path: string) => Effect.Effect<string, LinuxError>
    /** Makes a directory and its parents below `root` without ever leaving it; existing directories are kept. */
    readonly makeDirectoryInRoot: (
      root: string,
      path: string,
      options: { readonly mode: number; readonly uid: number; readonly gid: number }
    ) => Effect.Effect<void, LinuxError>
    /** One write(2) to an existing file: sysctls, cgroup files, a FIFO (opened O_NONBLOCK: ENXIO when nobody reads). */
    readonly writeExisting: (path: string, data: string) => Effect.Effect<void, LinuxError>
    /**
     * Reads a FIFO until the scope closes, without waiting for a writer and without taking anything: whoever waits for a
     * reader goes on (fifo(7)). What is no FIFO is refused (EINVAL), links too (ELOOP).
     */
    readonly attendFifo: (path: string) => Effect.Effect<void, LinuxError, Scope.Scope>
    readonly open: (
      path: string,
      mode: OpenMode,
      permissions?: number
    ) => Effect.Effect<OpenFile, LinuxError, Scope.Scope>
    /** Makes renames, creations and removals in a directory durable. */
    readonly syncDirectory: (path: string) => Effect.Effect<void, LinuxError>
    /** `recursive` makes parents too and accepts an existing directory. `mode` is exact, whatever the umask. */
    readonly makeDirectory: (
      path: string,
      options?: { readonly mode?: number; readonly recursive?: boolean }
    ) => Effect.Effect<void, LinuxError>
    /** Names in a directory, sorted. */
    readonly readDirectory: (path: string) => Effect.Effect<ReadonlyArray<string>, LinuxError>
    /** Names with what they name (links are not followed), sorted; as cheap as the names alone. */
    readonly readDirectoryEntries: (path: string) => Effect.Effect<ReadonlyArray<DirectoryEntry>, LinuxError>
    readonly rename: (from: string, to: string) => Effect.Effect<void, LinuxError>
    readonly link: (existing: string, path: string) => Effect.Effect<void, LinuxError>
    readonly symlink: (target: string, path: string) => Effect.Effect<void, LinuxError>
    readonly readLink: (path: string) => Effect.Effect<string, LinuxError>
    /** Real path with every link resolved. */
    readonly realPath: (path: string) => Effect.Effect<string, LinuxError>
    readonly removeFile: (path: string) => Effect.Effect<void, LinuxError>
    /** Removes a file of a tmpfs on the calling thread: there that is done before another one woke up. Succeeds when it is gone. */
    readonly removeVolatile: (path: string) => Effect.Effect<void, LinuxError>
    readonly removeDirectory: (path: string) => Effect.Effect<void, LinuxError>
    /** Removes a tree: never follows a link, never crosses into another mount (EBUSY there), succeeds when it is gone. */
    readonly removeTree: (path: string) => Effect.Effect<void, LinuxError>
    /** Follows links. */
    readonly stat: (path: string) => Effect.Effect<FileStat, LinuxError>
    readonly lstat: (path: string) => Effect.Effect<FileStat, LinuxError>
    readonly chmod: (path: string, mode: number) => Effect.Effect<void, LinuxError>
    readonly chown: (path: string, uid: number, gid: number) => Effect.Effect<void, LinuxError>
    readonly statFileSystem: (path: string) => Effect.Effect<FileSystemStat, LinuxError>
    /** Bytes and inodes that a tree uses (du), without following links or crossing mounts. */
    readonly diskUsage: (path: string) => Effect.Effect<{ readonly bytes: bigint; readonly inodes: bigint }, LinuxError>
    /**
     * Names that appeared, changed or went in a directory (inotify). Armed before the first pull returns; events can be
     * lost when the queue overflows, so users scan as well. The stream ends when the directory goes.
     */
    readonly watch: (directory: string) => Stream.Stream<string, LinuxError>
  }
>()("cricket/linux/Files") {
  /** Files that it keeps open are closed with it. */
  static readonly layer = Layer.effect(Files, makeFiles)
}
