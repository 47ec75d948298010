/** Our ends of a child's pipes. Until it is used, an end is a bare descriptor; then libuv reads or writes it. */
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Effect, Stream } from "effect"
import { Socket } from "node:net"
import type { LinuxError } from "../LinuxError.ts"
import { linuxError, refuse } from "./attempt.ts"
import { close, type Fd } from "./native.ts"

interface End {
  readonly release: () => void
}

/** The reading end of a pipe. */
export interface Outlet extends End {
  readonly stream: Stream.Stream<Uint8Array, LinuxError>
}

/** The writing end of a pipe. */
export interface Inlet extends End {
  readonly write: (data: Uint8Array) => Effect.Effect<void, LinuxError>
}

const lazySocket = (fd: Fd, side: "readable" | "writable") => {
  let socket: Socket | undefined
  let released = false
  return {
    get released() {
      return released
    },
    open: () => {
      if (socket === undefined) {
        socket = new Socket({ fd, readable: side === "readable", writable: side === "writable" })
        // Whoever reads or writes gets the error from its own call; without a listener it would end the process.
        socket.on("error", () => {})
      }
      return socket
    },
    release: () => {
      if (released) return
      released = true
      // Destroying a socket closes its descriptor before it returns.
      if (socket === undefined) close(fd)
      else socket.destroy()
    }
  }
}

export const makeOutlet = (fd: Fd, subject: string): Outlet => {
  const socket = lazySocket(fd, "readable")
  let taken = false
  const stream = Stream.suspend(() => {
    if (taken || socket.released) return Stream.fail(refuse("read", subject, "EBADF", "was read or closed before"))
    taken = true
    return NodeStream.fromReadable<Uint8Array, LinuxError>({
      evaluate: socket.open,
      onError: (thrown) => linuxError("read", subject, thrown),
      closeOnDone: false
    }).pipe(Stream.ensuring(Effect.sync(socket.release)))
  })
  return { stream, release: socket.release }
}

export const makeInlet = (fd: Fd, subject: string): Inlet => {
  const socket = lazySocket(fd, "writable")
  return {
    release: socket.release,
    write: (data) =>
      Effect.callback((resume) => {
        if (socket.released) return resume(Effect.fail(refuse("write", subject, "EBADF", "was closed before")))
        const writer = socket.open()
        if (writer.destroyed) return resume(Effect.fail(refuse("write", subject, "EPIPE", "nobody reads any more")))
        writer.write(data, (error) => resume(error ? Effect.fail(linuxError("write", subject, error)) : Effect.void))
      })
  }
}
