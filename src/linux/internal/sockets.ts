/** Sockets of the real host. */
import { Effect, type Scope } from "effect"
import { chmodSync, closeSync, openSync, unlinkSync } from "node:fs"
import { posix } from "node:path"
import type { LinuxError } from "../LinuxError.ts"
import type { Connection, DialRequest, Sockets, TerminalListener } from "../Sockets.ts"
import type { Terminal } from "../Terminal.ts"
import { attemptSync, codeOf, linuxError, Refused } from "./attempt.ts"
import { type Descriptor, makeDescriptor } from "./descriptor.ts"
import { inNetworkNamespace } from "./inNamespace.ts"
import { close, type Fd, O_DIRECTORY, O_RDONLY, onReadable } from "./native.ts"
import {
  accept,
  connectionError,
  connectSeqpacket,
  connectTcp,
  endWriting,
  listenUnix,
  longestSocketPath,
  receiveDescriptor,
  setNonBlocking,
  tcpSocket
} from "./nativeSockets.ts"
import { makeTerminal } from "./terminal.ts"

const readSize = 64 * 1024

const owned = (open: Effect.Effect<Descriptor, LinuxError>) =>
  Effect.acquireRelease(open, (descriptor) => Effect.sync(descriptor.release))

const connectionOf = (descriptor: Descriptor): Connection => ({
  incoming: descriptor.incoming,
  write: descriptor.write,
  endWrite: Effect.sync(() => {
    try {
      descriptor.use(endWriting)
    } catch (error) {
      // The peer is gone already.
      if (codeOf(error) !== "ENOTCONN") throw error
    }
  })
})

const dial = Effect.fn("Sockets.dial")(function* ({
  namespace,
  address,
  port
}: DialRequest): Effect.fn.Return<Connection, LinuxError, Scope.Scope> {
  const subject = `${address} port ${port}${namespace === undefined ? "" : ` in ${namespace}`}`
  const make = () => tcpSocket(address)
  const descriptor = yield* owned(
    attemptSync("connect", subject, () => {
      const fd = namespace === undefined ? make() : inNetworkNamespace(namespace, make)
      return makeDescriptor(fd, { subject, readSize })
    })
  )
  const connected = yield* attemptSync("connect", subject, () => descriptor.use((fd) => connectTcp(fd, address, port)))
  if (connected !== true) {
    yield* descriptor.writable
    const error = descriptor.use(connectionError)
    if (error !== undefined) return yield* linuxError("connect", subject, error)
  }
  return connectionOf(descriptor)
})

/** The path itself, or one through the directory's descriptor: what fits into a socket's address. */
const shortened = <A>(path: string, act: (address: string) => A): A => {
  if (Buffer.byteLength(path) <= longestSocketPath) return act(path)
  const directory = openSync(posix.dirname(path), O_RDONLY | O_DIRECTORY)
  try {
    return act(`/proc/self/fd/${directory}/${posix.basename(path)}`)
  } finally {
    closeSync(directory)
  }
}

const connectPackets = Effect.fn("Sockets.connectPackets")((path: string) =>
  Effect.map(
    owned(
      attemptSync("connect", path, () =>
        makeDescriptor(shortened(path, connectSeqpacket), { subject: path, readSize, ends: ["ECONNRESET"] })
      )
    ),
    connectionOf
  )
)

/** Descriptors behind a listener: its own, and the directory's where the path is long. */
interface Listening {
  readonly socket: Fd
  readonly directory: Fd
  readonly address: string
}

const startListening = (path: string): Listening => {
  const directory = openSync(posix.dirname(path), O_RDONLY | O_DIRECTORY)
  try {
    const inside = posix.basename(path)
    const fits = Buffer.byteLength(path) <= longestSocketPath
    const socket = listenUnix(fits ? path : `/proc/self/fd/${directory}/${inside}`)
    chmodSync(path, 0o600)
    return { socket, directory, address: fits ? path : `/proc/${process.pid}/fd/${directory}/${inside}` }
  } catch (error) {
    closeSync(directory)
    throw error
  }
}

const stopListening = (path: string, { socket, directory }: Listening): void => {
  close(socket)
  closeSync(directory)
  try {
    unlinkSync(path)
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error
  }
}

const readable = (fd: Fd): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const stop = onReadable(fd, () => resume(Effect.void))
    return Effect.sync(stop)
  })

const receiveTerminal = (path: string, listener: Fd): Effect.Effect<Terminal, LinuxError, Scope.Scope> =>
  Effect.uninterruptibleMask(
    Effect.fnUntraced(function* (restore) {
      yield* restore(readable(listener))
      // Nobody may close the peer while libuv watches it: the wait and the end are one.
      const terminal = yield* Effect.acquireUseRelease(
        attemptSync("accept", path, () => accept(listener)),
        (peer) => Effect.andThen(restore(readable(peer)), receiveFrom(path, peer)),
        (peer) => Effect.sync(() => close(peer))
      )
      yield* Effect.addFinalizer(() => Effect.sync(terminal.release))
      return terminal
    })
  )

const receiveFrom = (path: string, peer: Fd) =>
  attemptSync("receive", path, () => {
    const master = receiveDescriptor(peer)
    if (master === undefined) throw new Refused("EBADMSG", "was sent no terminal")
    setNonBlocking(master)
    return makeTerminal(master, `terminal of ${path}`)
  })

const listenForTerminal = Effect.fn("Sockets.listenForTerminal")(function* (
  path: string
): Effect.fn.Return<TerminalListener, LinuxError, Scope.Scope> {
  const listening = yield* Effect.acquireRelease(
    attemptSync("listen", path, () => startListening(path)),
    (listening) => Effect.sync(() => stopListening(path, listening))
  )
  return { address: listening.address, terminal: receiveTerminal(path, listening.socket) }
})

export const makeSockets = (): Sockets["Service"] => ({ dial, connectPackets, listenForTerminal })
