/**
 * The *at system calls with which a layer's files are made. Names are "byte strings": JavaScript strings that hold one
 * byte per character (latin1), so names that are not UTF-8 survive. All calls are synchronous: they run in the worker.
 */
import { closeSync } from "node:fs"
import { getSystemErrorName } from "node:util"
import type Koffi from "koffi"
import { createRequire } from "node:module"

const load = () => {
  const koffi = createRequire(import.meta.url)("koffi") as typeof Koffi
  const libc = koffi.load("libc.so.6")
  return {
    errno: () => koffi.errno(),
    syscall: libc.func("long syscall(long number, int dirfd, const void *path, void *how, size_t size)"),
    openat: libc.func("int openat(int dirfd, const void *path, int flags, unsigned int mode)"),
    mkdirat: libc.func("int mkdirat(int dirfd, const void *path, unsigned int mode)"),
    mknodat: libc.func("int mknodat(int dirfd, const void *path, unsigned int mode, unsigned long dev)"),
    symlinkat: libc.func("int symlinkat(const void *target, int dirfd, const void *path)"),
    linkat: libc.func("int linkat(int fromfd, const void *from, int tofd, const void *to, int flags)"),
    unlinkat: libc.func("int unlinkat(int dirfd, const void *path, int flags)"),
    fchownat: libc.func("int fchownat(int dirfd, const void *path, unsigned int uid, unsigned int gid, int flags)"),
    fchown: libc.func("int fchown(int fd, unsigned int uid, unsigned int gid)"),
    fchmod: libc.func("int fchmod(int fd, unsigned int mode)"),
    futimens: libc.func("int futimens(int fd, const void *times)"),
    utimensat: libc.func("int utimensat(int dirfd, const void *path, const void *times, int flags)"),
    setxattr: libc.func("int setxattr(const void *path, const void *name, const void *value, size_t size, int flags)"),
    syncfs: libc.func("int syncfs(int fd)"),
    syncFileRange: libc.func("int sync_file_range(int fd, int64_t offset, int64_t bytes, unsigned int flags)")
  }
}
let loaded: ReturnType<typeof load> | undefined
/** Loaded by the first call: the main thread shares this file's bundle and never makes one. */
const c = () => (loaded ??= load())

// The same numbers on x86-64 and arm64, except where a value depends on the machine.
const SYS_OPENAT2 = 437
const AT_FDCWD = -100
const AT_SYMLINK_NOFOLLOW = 0x100
const AT_REMOVEDIR = 0x200
const AT_EMPTY_PATH = 0x1000
const RESOLVE_NO_MAGICLINKS = 0x02n
const RESOLVE_IN_ROOT = 0x10n
const SYNC_FILE_RANGE_WRITE = 2
const arm = process.arch === "arm64"

export const O_WRONLY = 0o1
export const O_CREAT = 0o100
export const O_EXCL = 0o200
export const O_CLOEXEC = 0o2000000
export const O_PATH = 0o10000000
export const O_DIRECTORY = arm ? 0o40000 : 0o200000
export const O_NOFOLLOW = arm ? 0o100000 : 0o400000

export const S_IFIFO = 0o010000
export const S_IFCHR = 0o020000
export const S_IFBLK = 0o060000

/** A refused call; `code` is the errno's name. */
export class NativeError extends Error {
  readonly code: string
  constructor(operation: string, code: string) {
    super(`${operation}: ${code}`)
    this.code = code
  }
}

/** True when an error, ours or Node's, carries one of these errno names. */
export const hasCode = (error: unknown, ...codes: ReadonlyArray<string>): boolean =>
  error instanceof Error && "code" in error && codes.includes(String(error.code))

const check = (operation: string, result: number): number => {
  if (result < 0) throw new NativeError(operation, getSystemErrorName(-c().errno()))
  return result
}

/** NUL-terminated bytes of a byte string. */
const bytes = (name: string): Buffer => Buffer.from(`${name}\0`, "latin1")

/** timespec pair: access time, then modification time. */
export type Times = BigInt64Array

export const times = (accessSeconds: number, seconds: number, nanoseconds: number): Times =>
  BigInt64Array.of(BigInt(accessSeconds), BigInt(nanoseconds), BigInt(seconds), BigInt(nanoseconds))

const how = new BigUint64Array(3)

/** Opens a path as a process with `root` as its root directory would, never through a magic link (openat2(2)). */
export const openInRoot = (root: number, path: string, flags: number): number => {
  how[0] = BigInt(flags | O_CLOEXEC)
  how[1] = 0n
  how[2] = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
  return check("openat2", c().syscall(SYS_OPENAT2, root, bytes(path), how, 24))
}

export const openAt = (dir: number, name: string, flags: number, mode = 0): number =>
  check("openat", c().openat(dir, bytes(name), flags | O_CLOEXEC, mode))

export const makeDirectoryAt = (dir: number, name: string, mode: number): void => {
  check("mkdirat", c().mkdirat(dir, bytes(name), mode))
}

/** `mode` carries the S_IF* type. */
export const makeNodeAt = (dir: number, name: string, mode: number, major: number, minor: number): void => {
  const device =
    (BigInt(major & 0xfff) << 8n) |
    BigInt(minor & 0xff) |
    (BigInt(Math.floor(minor / 256)) << 20n) |
    (BigInt(Math.floor(major / 4096)) << 44n)
  check("mknodat", c().mknodat(dir, bytes(name), mode, device))
}

export const symlinkAt = (target: string, dir: number, name: string): void => {
  check("symlinkat", c().symlinkat(bytes(target), dir, bytes(name)))
}

/** Links to a symlink itself, never to what it names. */
export const linkAt = (fromDir: number, from: string, dir: number, name: string): void => {
  check("linkat", c().linkat(fromDir, bytes(from), dir, bytes(name), 0))
}

export const unlinkAt = (dir: number, name: string, directory: boolean): void => {
  check("unlinkat", c().unlinkat(dir, bytes(name), directory ? AT_REMOVEDIR : 0))
}

export const chownAt = (dir: number, name: string, uid: number, gid: number): void => {
  check("fchownat", c().fchownat(dir, bytes(name), uid, gid, AT_SYMLINK_NOFOLLOW))
}

/** Works on O_PATH descriptors, also those of symlinks. */
export const chownPathFd = (fd: number, uid: number, gid: number): void => {
  check("fchownat", c().fchownat(fd, bytes(""), uid, gid, AT_EMPTY_PATH))
}

export const chown = (fd: number, uid: number, gid: number): void => {
  check("fchown", c().fchown(fd, uid, gid))
}

export const chmod = (fd: number, mode: number): void => {
  check("fchmod", c().fchmod(fd, mode))
}

export const setTimes = (fd: number, value: Times): void => {
  check("futimens", c().futimens(fd, value))
}

/** Times of the thing itself, also of a symlink. */
export const setTimesAt = (dir: number, name: string, value: Times): void => {
  check("utimensat", c().utimensat(dir, bytes(name), value, AT_SYMLINK_NOFOLLOW))
}

/** The path through which calls without a descriptor form reach an open descriptor, O_PATH ones included. */
export const fdPath = (fd: number): string => `/proc/self/fd/${fd}`

/** Follows the last link: give it `fdPath` of the thing. */
export const setXattr = (path: string, name: string, value: Uint8Array): void => {
  check(`setxattr ${name}`, c().setxattr(bytes(path), bytes(name), value, value.length, 0))
}

/** Starts writing a file's pages to the disk without waiting, so that the final sync finds little left. */
export const startWriteback = (fd: number): void => {
  c().syncFileRange(fd, 0, 0, SYNC_FILE_RANGE_WRITE)
}

/** Waits until everything written to the file system of `fd` is on the disk, and reports its write errors. */
export const syncFileSystem = (fd: number): void => {
  check("syncfs", c().syncfs(fd))
}

/** Runs with a descriptor and closes it whatever happens. */
export const withFd = <A>(fd: number, use: (fd: number) => A): A => {
  try {
    return use(fd)
  } finally {
    closeSync(fd)
  }
}

export const CURRENT_DIRECTORY = AT_FDCWD
