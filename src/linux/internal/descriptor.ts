/**
 * A non-blocking descriptor as effects: it is read when somebody asks, and waited for by libuv's epoll. Unlike a
 * net.Socket it keeps packets apart and reads nothing ahead.
 */
import { Effect, Stream } from "effect"
import type { LinuxError } from "../LinuxError.ts"
import { codeOf, linuxError, refuse } from "./attempt.ts"
import { close, dupAbove, type Fd, makePoller, type Poller } from "./native.ts"
import { readNow, writeNow } from "./nativeSockets.ts"

export interface Descriptor {
  /** What comes, in the pieces in which it comes, until the end. For one reader. */
  readonly incoming: Stream.Stream<Uint8Array, LinuxError>
  /** Waits until all is written. One at a time. */
  readonly write: (data: Uint8Array) => Effect.Effect<void, LinuxError>
  /** Does something to the descriptor, unless it is closed. */
  readonly use: <A>(act: (fd: Fd) => A) => A | undefined
  /** Waits until it can be written to. */
  readonly writable: Effect.Effect<void>
  /** Closes it; who reads sees the end. Idempotent. */
  readonly release: () => void
}

export interface DescriptorOptions {
  readonly subject: string
  /** Bytes of one read: at least a packet. */
  readonly readSize: number
  /** Codes of errors that mean the end (a pseudo-terminal's EIO). */
  readonly ends?: ReadonlyArray<string>
}

// What is read is copied out at once: one scratch buffer serves all.
let scratch = Buffer.allocUnsafe(0)

/** Owns the descriptor from here on. */
export const makeDescriptor = (fd: Fd, { subject, readSize, ends = [] }: DescriptorOptions): Descriptor => {
  let released = false
  const reading = makePoller(fd)
  // A second number, since only one poller may watch one.
  let writing: { readonly fd: Fd; readonly poller: Poller } | undefined
  let wakeReader = () => {}

  const waitWritable = (ready: () => void) => {
    if (writing === undefined) {
      const copy = dupAbove(fd, 0)
      writing = { fd: copy, poller: makePoller(copy) }
    }
    writing.poller.wait("writable", ready)
  }

  const readOnce = (): Uint8Array | "later" | null => {
    if (scratch.length < readSize) scratch = Buffer.allocUnsafe(readSize)
    try {
      const size = readNow(fd, scratch.subarray(0, readSize))
      if (size === undefined) return "later"
      return size === 0 ? null : Buffer.from(scratch.subarray(0, size))
    } catch (error) {
      if (ends.includes(codeOf(error) ?? "")) return null
      throw error
    }
  }

  const read = Effect.callback<Uint8Array | null, LinuxError>((resume) => {
    const end = () => resume(Effect.succeed(null))
    const attempt = () => {
      if (released) return end()
      try {
        const data = readOnce()
        if (data !== "later") return resume(Effect.succeed(data))
        reading.wait("readable", attempt)
      } catch (error) {
        resume(Effect.fail(linuxError("read", subject, error)))
      }
    }
    wakeReader = end
    attempt()
    return Effect.sync(reading.stop)
  })

  const write = (data: Uint8Array): Effect.Effect<void, LinuxError> =>
    Effect.callback((resume) => {
      let done = 0
      const attempt = () => {
        try {
          if (released) return resume(Effect.fail(refuse("write", subject, "EBADF", "was closed before")))
          while (done < data.length) {
            const size = writeNow(fd, data.subarray(done))
            if (size === undefined) return waitWritable(attempt)
            done += size
          }
          resume(Effect.void)
        } catch (error) {
          resume(Effect.fail(linuxError("write", subject, error)))
        }
      }
      attempt()
      return Effect.sync(() => writing?.poller.stop())
    })

  return {
    incoming: Stream.unfold(undefined, () =>
      Effect.map(read, (data) => (data === null ? undefined : ([data, undefined] as const)))
    ),
    write,
    use: (act) => (released ? undefined : act(fd)),
    writable: Effect.callback((resume) => {
      waitWritable(() => resume(Effect.void))
      return Effect.sync(() => writing?.poller.stop())
    }),
    release: () => {
      if (released) return
      released = true
      reading.close()
      if (writing !== undefined) {
        writing.poller.close()
        close(writing.fd)
      }
      close(fd)
      wakeReader()
    }
  }
}
