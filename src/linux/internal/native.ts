/**
 * The C library as typed functions. koffi is loaded by the first call and each function is looked up when it is first
 * used, so that importing this file costs nothing. A refused call throws a `NativeError` that carries the errno.
 *
 * Everything here holds on x64 and arm64: both are LP64 and little-endian, system call numbers above 424 are common to
 * all architectures, and the O_* flags that differ are taken from node:fs.
 */
import type * as Koffi from "koffi"
import { constants } from "node:fs"
import { createRequire } from "node:module"
import { getSystemErrorName } from "node:util"

type Arguments = ReadonlyArray<string | number | bigint | Uint8Array | ReadonlyArray<string | number | null> | null>

/** Descriptors of this process, opened with O_CLOEXEC unless said otherwise. */
export type Fd = number

export const O_CLOEXEC = 0o2000000
export const O_PATH = 0o10000000
export const { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = constants

/** Flags of openat2(2). */
export const RESOLVE_NO_XDEV = 0x01
export const RESOLVE_NO_MAGICLINKS = 0x02
export const RESOLVE_NO_SYMLINKS = 0x04
export const RESOLVE_BENEATH = 0x08
export const RESOLVE_IN_ROOT = 0x10

const SYS_PIDFD_SEND_SIGNAL = 424
const SYS_PIDFD_OPEN = 434
const SYS_OPENAT2 = 437

// errno values that libuv has no name for.
const unnamed: Readonly<Record<number, string>> = {
  15: "ENOTBLK",
  35: "EDEADLK",
  37: "ENOLCK",
  52: "EBADE",
  62: "ETIME",
  66: "EREMOTE",
  115: "EINPROGRESS",
  117: "EUCLEAN",
  122: "EDQUOT",
  124: "EMEDIUMTYPE",
  126: "ENOKEY",
  127: "EKEYEXPIRED",
  128: "EKEYREVOKED",
  129: "EKEYREJECTED"
}

/** The name of a (positive) errno, spelled as node:fs spells it. */
export const errnoName = (errno: number): string => {
  const named = unnamed[errno]
  if (named !== undefined) return named
  const name = errno > 0 ? getSystemErrorName(-errno) : ""
  return /^E[A-Z0-9]+$/.test(name) ? name : `E${errno}`
}

/** A refused library call. */
export class NativeError extends Error {
  readonly code: string
  constructor(call: string, errno: number) {
    super(`${call}: ${errnoName(errno)}`)
    this.code = errnoName(errno)
  }
}

interface Runtime {
  readonly koffi: typeof Koffi
  readonly libc: Koffi.LibraryHandle
}
let runtime: Runtime | undefined
export const load = (): Runtime => {
  if (runtime === undefined) {
    const koffi = createRequire(import.meta.url)("koffi") as typeof Koffi
    // The program's own symbols: the C library that Node itself runs on.
    runtime = { koffi, libc: koffi.load(null) }
  }
  return runtime
}

export const bind = (signature: string) => {
  let bound: Koffi.KoffiFunc<(...args: ReadonlyArray<unknown>) => number> | undefined
  return () => (bound ??= load().libc.func(signature))
}

/** The address of a function of the C library, for calls that take one. */
export const addressOf = (name: string): Uint8Array => load().libc.symbol(name) as Uint8Array

/** A call that fails by returning a negative number. */
export const checked = (name: string, signature: string) => {
  const bound = bind(signature)
  return (...args: Arguments): number => {
    const result = Number(bound()(...args))
    if (result < 0) throw new NativeError(name, load().koffi.errno())
    return result
  }
}

// koffi refuses more than 256 calls at a time, and all of them share libuv's threads with node:fs.
const maxAsyncCalls = 32
let asyncCalls = 0
const asyncWaiting: Array<() => void> = []
const leave = () => {
  asyncCalls -= 1
  asyncWaiting.shift()?.()
}

/** The call on a thread of libuv's pool; resolves to its result and the errno it left. For calls that end in milliseconds. */
const asynchronous = (signature: string) => {
  const bound = bind(signature)
  return (...args: Arguments) =>
    new Promise<{ readonly result: number; readonly errno: number }>((resolve, reject) => {
      const start = () => {
        asyncCalls += 1
        bound().async(...args, (error: unknown, result: number) => {
          // errno is the call's own only until this callback returns.
          const errno = load().koffi.errno()
          leave()
          if (error) reject(error)
          else resolve({ result, errno })
        })
      }
      if (asyncCalls < maxAsyncCalls) start()
      else asyncWaiting.push(start)
    })
}

export const checkedAsync = (name: string, signature: string) => {
  const call = asynchronous(signature)
  return async (...args: Arguments): Promise<number> => {
    const { result, errno } = await call(...args)
    if (result < 0) throw new NativeError(name, errno)
    return result
  }
}

export const close = checked("close", "int close(int fd)") as (fd: Fd) => number
export const dup = checked("fcntl", "int fcntl(int fd, int command, long argument)") as (
  fd: Fd,
  command: number,
  argument: number
) => number
export const setns = checked("setns", "int setns(int fd, int type)") as (fd: Fd, type: number) => number
export const unshare = checked("unshare", "int unshare(int flags)") as (flags: number) => number
export const socket = checked("socket", "int socket(int domain, int type, int protocol)") as (
  domain: number,
  type: number,
  protocol: number
) => Fd
/** ioctl with a pointer. */
export const ioctl = checked("ioctl", "int ioctl(int fd, unsigned long request, void* argument)") as (
  fd: Fd,
  request: number,
  argument: Uint8Array | null
) => number
export const mount = checked(
  "mount",
  "int mount(const char* source, const char* target, const char* type, unsigned long flags, const char* data)"
) as (source: string, target: string, type: string | null, flags: number, data: string | null) => number
export const mountAsync = checkedAsync(
  "mount",
  "int mount(const char* source, const char* target, const char* type, unsigned long flags, const char* data)"
) as (source: string, target: string, type: string | null, flags: number, data: string | null) => Promise<number>
export const umount2 = checked("umount2", "int umount2(const char* target, int flags)") as (
  target: string,
  flags: number
) => number
export const umount2Async = checkedAsync("umount2", "int umount2(const char* target, int flags)") as (
  target: string,
  flags: number
) => Promise<number>

const sethostnameCall = checked("sethostname", "int sethostname(const char* name, size_t length)")
export const sethostname = (name: string): void => {
  sethostnameCall(name, Buffer.byteLength(name))
}

const mkdiratCall = checked("mkdirat", "int mkdirat(int fd, const char* name, unsigned int mode)")
export const mkdirat = (directory: Fd, name: string, mode: number): void => {
  mkdiratCall(directory, name, mode)
}

const pipe2Call = checked("pipe2", "int pipe2(void* fds, int flags)")
/** [read end, write end] */
export const pipe = (): readonly [Fd, Fd] => {
  const fds = Buffer.alloc(8)
  pipe2Call(fds, O_CLOEXEC)
  return [fds.readInt32LE(0), fds.readInt32LE(4)]
}

const F_DUPFD_CLOEXEC = 1030
/** A copy of the descriptor with a number of at least `minimum`. */
export const dupAbove = (fd: Fd, minimum: number): Fd => dup(fd, F_DUPFD_CLOEXEC, minimum)

const openat2Call = checked(
  "openat2",
  "long syscall(long number, long fd, const void* path, const void* how, size_t size)"
)
/** openat2(2). The path may be bytes: names on disk need not be UTF-8. */
export const openat2 = (directory: Fd, path: string | Uint8Array, flags: number, resolve: number): Fd => {
  const bytes = typeof path === "string" ? Buffer.from(`${path}\0`) : Buffer.concat([path, Buffer.alloc(1)])
  const how = Buffer.alloc(24)
  how.writeUInt32LE(flags | O_CLOEXEC, 0)
  how.writeUInt32LE(resolve, 16)
  for (let attempt = 0; ; attempt++) {
    try {
      return openat2Call(SYS_OPENAT2, directory, bytes, how, how.length)
    } catch (error) {
      // A rename somewhere on the host raced with ".." below a root; openat2(2) says to try again.
      if (!(error instanceof NativeError && error.code === "EAGAIN" && attempt < 20)) throw error
    }
  }
}

const pidfdOpenCall = checked("pidfd_open", "long syscall(long number, long pid, long flags)")
export const pidfdOpen = (pid: number): Fd => pidfdOpenCall(SYS_PIDFD_OPEN, pid, 0)

const pidfdSendSignalCall = checked(
  "pidfd_send_signal",
  "long syscall(long number, long fd, long signal, void* info, long flags)"
)
export const pidfdSendSignal = (fd: Fd, signal: number): void => {
  pidfdSendSignalCall(SYS_PIDFD_SEND_SIGNAL, fd, signal, null, 0)
}

const WNOHANG = 1
const waitpidCall = checked("waitpid", "int waitpid(int pid, void* status, int options)")
const waitStatus = Buffer.alloc(4)
/** The wait status of a child that has ended, which is thereby reaped; undefined while it runs. */
export const waitpid = (pid: number): number | undefined =>
  waitpidCall(pid, waitStatus, WNOHANG) === pid ? waitStatus.readInt32LE(0) : undefined

const F_OFD_SETLK = 37
const lockTypes = { read: 0, write: 1, none: 2 } as const
const lockCall = checked("fcntl", "int fcntl(int fd, int command, void* lock)")
/** Sets a lock of this open file description over the whole file without waiting: EAGAIN or EACCES when it conflicts. */
export const setFileLock = (fd: Fd, type: keyof typeof lockTypes): void => {
  const lock = Buffer.alloc(32) // struct flock: short type, short whence, off_t start, off_t length, pid
  lock.writeInt16LE(lockTypes[type], 0)
  lockCall(fd, F_OFD_SETLK, lock)
}

/** Watches one descriptor (libuv's own epoll, no thread). Only one poller may watch a descriptor number at a time. */
export interface Poller {
  /** Calls back once when it is ready for that, or broken. A further wait takes the place of this one. */
  readonly wait: (direction: "readable" | "writable", ready: () => void) => void
  readonly stop: () => void
  /** Before the descriptor is closed. */
  readonly close: () => void
}

export const makePoller = (fd: Fd): Poller => {
  let handle: Koffi.node.PollHandle | undefined
  const stop = () => {
    if (handle === undefined) return
    handle.stop()
    watched.delete(handle)
  }
  return {
    wait: (direction, ready) => {
      const once = () => {
        stop()
        ready()
      }
      const events = { [direction]: true }
      if (handle === undefined) handle = load().koffi.node.poll(fd, events, once)
      else handle.start(events, once)
      watched.add(handle)
    },
    stop,
    close: () => {
      stop()
      handle?.close()
      handle = undefined
    }
  }
}
// A handle that nothing names would be collected, and its event lost.
const watched = new Set<Koffi.node.PollHandle>()

/** Calls back once the descriptor is readable. Call the result to stop; close the fd after. */
export const onReadable = (fd: Fd, ready: () => void): (() => void) => {
  const poller = makePoller(fd)
  poller.wait("readable", () => {
    poller.close()
    ready()
  })
  return poller.close
}

// glibc's posix_spawn_file_actions_t (80 bytes) and posix_spawnattr_t (336 bytes), with room.
const sizeOfActions = 256
const sizeOfAttributes = 1024
const POSIX_SPAWN_SETSIGDEF = 0x04
const POSIX_SPAWN_SETSIGMASK = 0x08
const POSIX_SPAWN_SETSID = 0x80

/** A call that returns an errno instead of setting it. */
const direct = (name: string, signature: string) => {
  const bound = bind(signature)
  return (...args: Arguments): void => {
    const errno: number = bound()(...args)
    if (errno !== 0) throw new NativeError(name, errno)
  }
}
const actionsInit = direct("posix_spawn", "int posix_spawn_file_actions_init(void* actions)")
const actionsDestroy = direct("posix_spawn", "int posix_spawn_file_actions_destroy(void* actions)")
const actionsDup2 = direct("posix_spawn", "int posix_spawn_file_actions_adddup2(void* actions, int from, int to)")
const actionsOpen = direct(
  "posix_spawn",
  "int posix_spawn_file_actions_addopen(void* actions, int fd, const char* path, int flags, unsigned int mode)"
)
const actionsChdir = direct("posix_spawn", "int posix_spawn_file_actions_addchdir_np(void* actions, const char* path)")
const actionsCloseFrom = direct("posix_spawn", "int posix_spawn_file_actions_addclosefrom_np(void* actions, int from)")
const attributesInit = direct("posix_spawn", "int posix_spawnattr_init(void* attributes)")
const attributesFlags = direct("posix_spawn", "int posix_spawnattr_setflags(void* attributes, short flags)")
const attributesDefault = direct("posix_spawn", "int posix_spawnattr_setsigdefault(void* attributes, void* set)")
const attributesMask = direct("posix_spawn", "int posix_spawnattr_setsigmask(void* attributes, void* set)")
const spawnCall = asynchronous(
  "int posix_spawn(_Out_ int* pid, const char* path, void* actions, void* attributes, const char** argv, const char** envp)"
)

/** Every signal at its default and none blocked: Node ignores SIGPIPE, and a child must not inherit that. */
const makeAttributes = (flags: number): Uint8Array => {
  const attributes = Buffer.alloc(sizeOfAttributes)
  attributesInit(attributes)
  attributesDefault(attributes, Buffer.alloc(128, 0xff))
  attributesMask(attributes, Buffer.alloc(128))
  attributesFlags(attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | flags)
  return attributes
}
let inSession: Uint8Array | undefined
let inOwnSession: Uint8Array | undefined

export interface PosixSpawn {
  readonly path: string
  readonly argv: ReadonlyArray<string>
  readonly environment: ReadonlyArray<string>
  readonly cwd: string | undefined
  /**
   * For each descriptor of the child: one of ours, numbered above every descriptor of the child, or null for /dev/null.
   * A terminal is opened anew, by which a child in a session of its own gets it as its controlling terminal.
   */
  readonly fds: ReadonlyArray<Fd | { readonly terminal: Fd } | null>
  readonly newSession: boolean
}

/** posix_spawn(3) on a pool thread; the pid. It does not copy the page tables, so its cost does not grow with our memory. */
export const posixSpawn = async (request: PosixSpawn): Promise<number> => {
  const actions = Buffer.alloc(sizeOfActions)
  actionsInit(actions)
  try {
    if (request.cwd !== undefined) actionsChdir(actions, request.cwd)
    for (const [target, source] of request.fds.entries()) {
      if (source === null) actionsOpen(actions, target, "/dev/null", O_RDWR, 0)
      else if (typeof source === "number") actionsDup2(actions, source, target)
      else actionsOpen(actions, target, `/proc/self/fd/${source.terminal}`, O_RDWR, 0)
    }
    actionsCloseFrom(actions, request.fds.length)
    const attributes = request.newSession
      ? (inOwnSession ??= makeAttributes(POSIX_SPAWN_SETSID))
      : (inSession ??= makeAttributes(0))
    const pid = [0]
    const { result } = await spawnCall(
      pid,
      request.path,
      actions,
      attributes,
      [...request.argv, null],
      [...request.environment, null]
    )
    if (result !== 0) throw new NativeError("posix_spawn", result)
    return pid[0]!
  } finally {
    actionsDestroy(actions)
  }
}
