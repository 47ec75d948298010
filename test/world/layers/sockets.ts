/** Sockets over a world. */
import { Deferred, Effect, Layer, Stream, type Scope } from "effect"
import type { LinuxError } from "../../../src/linux/LinuxError.ts"
import { Sockets, type Connection, type DialRequest } from "../../../src/linux/Sockets.ts"
import type { Terminal } from "../../../src/linux/Terminal.ts"
import { Errno } from "../Errno.ts"
import { NamespaceNode, SocketNode } from "../Node.ts"
import type { PipeEnd } from "../Pipe.ts"
import { closeSide, type Pty, type Side } from "../Wire.ts"
import { refused, type Seam } from "./Seam.ts"

/** Our side of a connection stands among the daemon's descriptors, so that its death closes it. */
const hold = (seam: Seam, side: Side): Side => {
  const { fds } = seam.life.process
  let next = 10
  for (const end of [side.incoming, side.outgoing]) {
    while (fds.has(next)) next++
    fds.set(next, end)
  }
  return side
}

const letGo = (seam: Seam, ...ends: ReadonlyArray<PipeEnd>): void => {
  for (const end of ends) {
    end.close()
    for (const [fd, held] of seam.life.process.fds) if (held === end) seam.life.process.fds.delete(fd)
  }
}

const owned = (seam: Seam, open: Effect.Effect<Side, LinuxError>) =>
  Effect.acquireRelease(
    Effect.map(open, (side) => hold(seam, side)),
    ({ incoming, outgoing }) => seam.finalizer(() => letGo(seam, incoming, outgoing))
  )

const chunks = (seam: Seam, subject: string, { incoming }: Side): Stream.Stream<Uint8Array, LinuxError> =>
  Stream.unfold(undefined, () =>
    Effect.map(seam.effect("Sockets", "read", subject, seam.whileAlive(incoming.pipe.read)), (chunk) =>
      chunk === undefined ? undefined : ([chunk, undefined] as const)
    )
  )

const writeTo =
  (seam: Seam, subject: string, { outgoing }: Side) =>
  (data: Uint8Array) =>
    seam.effect("Sockets", "write", subject, refused("write", subject, outgoing.pipe.write(data)))

const connectionOf = (seam: Seam, subject: string, side: Side): Connection => ({
  incoming: chunks(seam, subject, side),
  write: writeTo(seam, subject, side),
  endWrite: seam.finalizer(() => letGo(seam, side.outgoing))
})

export const ownTerminal = (seam: Seam, subject: string, pty: Pty): Terminal & { readonly side: Side } => {
  const side = hold(seam, pty.master)
  return {
    side,
    output: chunks(seam, subject, side),
    write: writeTo(seam, subject, side),
    resize: ({ width, height }) =>
      seam.sync("Sockets", "resize", subject, () => {
        pty.size = `${height} ${width}`
      })
  }
}

export const closeTerminal = (seam: Seam, { side }: { readonly side: Side }): void =>
  letGo(seam, side.incoming, side.outgoing)

export const socketsLayer = (seam: Seam): Layer.Layer<Sockets> => {
  const { world } = seam

  const namespaceAt = (path: string | undefined): NamespaceNode => {
    if (path === undefined) return world.hostNamespace("net")
    const { node } = world.vfs.paths.find(path, { follow: false })
    if (!(node instanceof NamespaceNode) || node.namespaceKind !== "net") throw new Errno("EINVAL")
    return node
  }

  const dial = Effect.fnUntraced(function* ({ namespace, address, port }: DialRequest) {
    const subject = `${namespace ?? "host"} ${address}:${port}`
    const connect = seam.sync("Sockets", "dial", subject, () => {
      const listener = world.listeners.get(namespaceAt(namespace))?.get(`${address}:${port}`)
      if (listener === undefined) throw new Errno("ECONNREFUSED")
      return listener.connect()
    })
    return connectionOf(seam, subject, yield* owned(seam, connect))
  })

  const connectPackets = Effect.fnUntraced(function* (path: string) {
    const connect = seam.sync("Sockets", "connectPackets", path, () => {
      const { node } = world.vfs.paths.find(path, { follow: true })
      if (!(node instanceof SocketNode) || node.listener === undefined) throw new Errno("ECONNREFUSED")
      return node.listener.connect()
    })
    return connectionOf(seam, path, yield* owned(seam, connect))
  })

  const listenForTerminal = Effect.fnUntraced(function* (path: string) {
    const sent = yield* Deferred.make<Pty>()
    let held: Pty | undefined
    yield* Effect.acquireRelease(
      seam.sync("Sockets", "listenForTerminal", path, () => {
        if (world.vfs.exists(path)) throw new Errno("EADDRINUSE")
        world.vfs.place(path, (directory) => {
          const node = new SocketNode(directory.home(), 0o600)
          node.receive = (pty) => {
            held = pty
            if (seam.life.dead()) closeSide(pty.master)
            else Deferred.doneUnsafe(sent, Effect.succeed(pty))
          }
          return node
        })
      }),
      () =>
        seam.finalizer(() => {
          // In a queue that nobody empties any more.
          if (held !== undefined) closeSide(held.master)
          if (world.vfs.exists(path)) world.vfs.removeFile(path)
        })
    )
    const terminal: Effect.Effect<Terminal, LinuxError, Scope.Scope> = Effect.acquireRelease(
      Effect.map(seam.effect("Sockets", "receiveTerminal", path, seam.whileAlive(Deferred.await(sent))), (pty) =>
        ownTerminal(seam, path, pty)
      ),
      (terminal) => seam.finalizer(() => closeTerminal(seam, terminal)),
      { interruptible: true }
    )
    return { address: path, terminal }
  })

  return Layer.succeed(Sockets, { dial, connectPackets, listenForTerminal })
}
