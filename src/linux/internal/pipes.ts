/** Our ends of a child's pipes, each for one use. */
import { Effect, Stream } from "effect"
import type { LinuxError } from "../LinuxError.ts"
import type { Collected } from "../Processes.ts"
import { refuse } from "./attempt.ts"
import { type Descriptor, makeDescriptor } from "./descriptor.ts"
import { type Fd } from "./native.ts"
import { setNonBlocking } from "./nativeSockets.ts"

/** The reading end of a pipe. */
export interface Outlet {
  readonly stream: Stream.Stream<Uint8Array, LinuxError>
  /** Begins to read at once and goes on to the end; the first `limit` bytes are kept. */
  readonly collect: (limit: number) => Collected
  readonly release: () => void
}

/** The writing end of a pipe. */
export interface Inlet {
  readonly write: Descriptor["write"]
  readonly release: () => void
}

// A pipe holds no more.
const readSize = 64 * 1024

const nothing = new Uint8Array(0)

export const makeOutlet = (fd: Fd, subject: string): Outlet => {
  setNonBlocking(fd)
  const descriptor = makeDescriptor(fd, { subject, readSize })
  let taken = false
  /** True for the first who asks. */
  const take = () => {
    if (taken || descriptor.use(() => true) === undefined) return false
    return (taken = true)
  }
  const spent = Effect.suspend(() => Effect.fail(refuse("read", subject, "EBADF", "was read or closed before")))
  return {
    // Who stops reading has read enough: the writer learns it by SIGPIPE.
    stream: Stream.suspend(() =>
      take() ? Stream.ensuring(descriptor.incoming, Effect.sync(descriptor.release)) : Stream.fromEffect(spent)
    ),
    collect: (limit) => (take() ? descriptor.collect(limit) : { bytes: () => nothing, ended: spent }),
    release: descriptor.release
  }
}

export const makeInlet = (fd: Fd, subject: string): Inlet => {
  setNonBlocking(fd)
  const { write, release } = makeDescriptor(fd, { subject, readSize: 0 })
  return { write, release }
}
