/** Sockets, pseudo-terminals and files in memory by the C library: what node:net and node:fs cannot make. */
import { constants, openSync } from "node:fs"
import type { TerminalSize } from "../Terminal.ts"
import {
  bind,
  checked,
  close,
  dup,
  type Fd,
  ioctl,
  load,
  NativeError,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDWR,
  socket
} from "./native.ts"

export const AF_UNIX = 1
const AF_INET = 2
const AF_INET6 = 10
const SOCK_STREAM = 1
const SOCK_SEQPACKET = 5

const EINTR = 4
const EAGAIN = 11

/** A call on a non-blocking descriptor: undefined when it would have to wait. */
const immediate = (name: string, signature: string) => {
  const bound = bind(signature)
  return (fd: Fd, bytes: Uint8Array): number | undefined => {
    for (;;) {
      const result = Number(bound()(fd, bytes, bytes.length))
      if (result >= 0) return result
      const errno = load().koffi.errno()
      if (errno === EAGAIN) return undefined
      if (errno !== EINTR) throw new NativeError(name, errno)
    }
  }
}
export const readNow = immediate("read", "intptr_t read(int fd, void* bytes, size_t length)")
export const writeNow = immediate("write", "intptr_t write(int fd, const void* bytes, size_t length)")

const shutdownCall = checked("shutdown", "int shutdown(int fd, int how)")
const SHUT_WR = 1
export const endWriting = (fd: Fd): void => {
  shutdownCall(fd, SHUT_WR)
}

const connectCall = checked("connect", "int connect(int fd, const void* address, unsigned int length)")
const bindCall = checked("bind", "int bind(int fd, const void* address, unsigned int length)")
const listenCall = checked("listen", "int listen(int fd, int backlog)")
const acceptCall = checked("accept4", "int accept4(int fd, void* address, void* length, int flags)")
const errorCall = checked("getsockopt", "int getsockopt(int fd, int level, int name, void* value, void* length)")

/** Bytes of a path in a struct sockaddr_un, without the NUL at its end. */
export const longestSocketPath = 107

const unixAddress = (path: string): Uint8Array => {
  const bytes = Buffer.from(path)
  if (bytes.length > longestSocketPath) throw new NativeError("connect", 36 /* ENAMETOOLONG */)
  const address = Buffer.alloc(2 + bytes.length + 1)
  address.writeUInt16LE(AF_UNIX, 0)
  bytes.copy(address, 2)
  return address
}

const unixSocket = (type: number): Fd => socket(AF_UNIX, type | O_CLOEXEC | O_NONBLOCK, 0)

export const connectSeqpacket = (path: string): Fd => {
  const address = unixAddress(path)
  const fd = unixSocket(SOCK_SEQPACKET)
  try {
    connectCall(fd, address, address.length)
    return fd
  } catch (error) {
    close(fd)
    throw error
  }
}

export const listenUnix = (path: string): Fd => {
  const address = unixAddress(path)
  const fd = unixSocket(SOCK_STREAM)
  try {
    bindCall(fd, address, address.length)
    listenCall(fd, 1)
    return fd
  } catch (error) {
    close(fd)
    throw error
  }
}

export const accept = (fd: Fd): Fd => acceptCall(fd, null, null, O_CLOEXEC | O_NONBLOCK)

export const loopback = {
  "127.0.0.1": { family: AF_INET, size: 16, offset: 4, bytes: [127, 0, 0, 1] },
  "::1": { family: AF_INET6, size: 28, offset: 23, bytes: [1] }
} as const
export type LoopbackAddress = keyof typeof loopback

export const tcpSocket = (address: LoopbackAddress): Fd =>
  socket(loopback[address].family, SOCK_STREAM | O_CLOEXEC | O_NONBLOCK, 0)

/** False while it is under way: wait until the socket is writable, then ask `connectionError`. */
export const connectTcp = (fd: Fd, name: LoopbackAddress, port: number): boolean => {
  const { family, size, offset, bytes } = loopback[name]
  const address = Buffer.alloc(size) // struct sockaddr_in or sockaddr_in6
  address.writeUInt16LE(family, 0)
  address.writeUInt16BE(port, 2)
  address.set(bytes, offset)
  try {
    connectCall(fd, address, size)
    return true
  } catch (error) {
    if (error instanceof NativeError && error.code === "EINPROGRESS") return false
    throw error
  }
}

const SOL_SOCKET = 1
const SO_ERROR = 4
export const connectionError = (fd: Fd): NativeError | undefined => {
  const value = Buffer.alloc(4)
  const length = Buffer.from([4, 0, 0, 0])
  errorCall(fd, SOL_SOCKET, SO_ERROR, value, length)
  const code = value.readInt32LE(0)
  return code === 0 ? undefined : new NativeError("connect", code)
}

const F_GETFL = 3
const F_SETFL = 4
export const setNonBlocking = (fd: Fd): void => {
  dup(fd, F_SETFL, dup(fd, F_GETFL, 0) | O_NONBLOCK)
}

const MSG_CMSG_CLOEXEC = 0x40000000
const SCM_RIGHTS = 1
type Receive = (fd: Fd, message: object, flags: number) => number
let receive: Receive | undefined
const recvmsg = (): Receive => {
  if (receive !== undefined) return receive
  const { koffi, libc } = load()
  const vector = koffi.struct({ base: "void*", length: "size_t" })
  const message = koffi.struct({
    name: "void*",
    nameLength: "uint32",
    vectors: koffi.pointer(vector),
    count: "size_t",
    control: "void*",
    controlLength: "size_t",
    flags: "int"
  })
  return (receive = libc.func("recvmsg", "intptr_t", ["int", koffi.pointer(message), "int"]) as Receive)
}

/** The descriptor in the next message (unix(7) SCM_RIGHTS); undefined when there is none in it. */
export const receiveDescriptor = (fd: Fd): Fd | undefined => {
  const data = Buffer.alloc(4096)
  // struct cmsghdr: size_t length, int level, int type; then the descriptors. All zero where none came.
  const control = Buffer.alloc(64)
  const message = {
    name: null,
    nameLength: 0,
    vectors: { base: data, length: data.length },
    count: 1,
    control,
    controlLength: control.length,
    flags: 0
  }
  if (recvmsg()(fd, message, MSG_CMSG_CLOEXEC) < 0) throw new NativeError("recvmsg", load().koffi.errno())
  if (control.readInt32LE(8) !== SOL_SOCKET || control.readInt32LE(12) !== SCM_RIGHTS) return undefined
  const count = Math.floor((Number(control.readBigUInt64LE(0)) - 16) / 4)
  const [first, ...others] = Array.from({ length: count }, (_, index) => control.readInt32LE(16 + 4 * index))
  for (const other of others) close(other)
  return first
}

const TIOCSPTLCK = 0x40045431
const TIOCGPTPEER = 0x5441
const TIOCSWINSZ = 0x5414
const ioctlNumber = checked("ioctl", "int ioctl(int fd, unsigned long request, long argument)")

const TCGETS = 0x5401
const TCSETS = 0x5402

/** As cfmakeraw(3): bytes pass as they are; echo, lines, signals and flow control are the business of who reads them. */
const makeRaw = (fd: Fd): void => {
  const termios = Buffer.alloc(64) // struct termios of the kernel: input, output, control and local modes first
  ioctl(fd, TCGETS, termios)
  const modes = [
    [0, 0o2753],
    [4, 0o1],
    [8, 0o460],
    [12, 0o100113]
  ] as const
  for (const [offset, cleared] of modes) termios.writeUInt32LE((termios.readUInt32LE(offset) & ~cleared) >>> 0, offset)
  termios.writeUInt32LE((termios.readUInt32LE(8) | 0o60) >>> 0, 8)
  ioctl(fd, TCSETS, termios)
}

/** A new pseudo-terminal in raw mode. Reading the master fails with EIO while nobody has the slave open. */
export const openTerminal = (): { readonly master: Fd; readonly slave: Fd } => {
  const master = openSync("/dev/ptmx", O_RDWR | constants.O_NOCTTY | O_NONBLOCK)
  try {
    ioctl(master, TIOCSPTLCK, Buffer.alloc(4))
    const slave = ioctlNumber(master, TIOCGPTPEER, O_RDWR | constants.O_NOCTTY | O_CLOEXEC)
    makeRaw(slave)
    return { master, slave }
  } catch (error) {
    close(master)
    throw error
  }
}

export const setTerminalSize = (master: Fd, size: TerminalSize): void => {
  const characters = (value: number) => Math.min(0xffff, Math.max(0, Math.trunc(value)))
  const winsize = Buffer.alloc(8) // struct winsize: rows, columns, pixels
  winsize.writeUInt16LE(characters(size.height), 0)
  winsize.writeUInt16LE(characters(size.width), 2)
  ioctl(master, TIOCSWINSZ, winsize)
}

const MFD_CLOEXEC = 1
const memfdCall = checked("memfd_create", "int memfd_create(const char* name, unsigned int flags)")
/** An empty file in memory. */
export const memoryFile = (name: string): Fd => memfdCall(name, MFD_CLOEXEC)
