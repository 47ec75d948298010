/**
 * A non-blocking descriptor as effects: it is read when somebody asks, and waited for by libuv's epoll. Unlike a
 * net.Socket it keeps packets apart, reads nothing ahead and costs no stream.
 */
import { Deferred, Effect, Stream } from "effect"
import type { LinuxError } from "../LinuxError.ts"
import type { Collected } from "../Processes.ts"
import { codeOf, linuxError, refuse } from "./attempt.ts"
import { close, dupAbove, type Fd, makePoller, type Poller } from "./native.ts"
import { readNow, writeNow } from "./nativeSockets.ts"

export interface Descriptor {
  /** What comes, in the pieces in which it comes, until the end. For one reader. */
  readonly incoming: Stream.Stream<Uint8Array, LinuxError>
  /** The same without anybody who asks: read from now on, and beyond the limit dropped. */
  readonly collect: (limit: number) => Collected
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

/** Reads in a row for a writer that is always ahead, before others have their turn. */
const readsInRow = 16

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

  /** A view of the scratch buffer, null at the end. */
  const readOnce = (): Uint8Array | "later" | null => {
    if (scratch.length < readSize) scratch = Buffer.allocUnsafe(readSize)
    try {
      const size = readNow(fd, scratch.subarray(0, readSize))
      if (size === undefined) return "later"
      return size === 0 ? null : scratch.subarray(0, size)
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
        if (data === "later") reading.wait("readable", attempt)
        else resume(Effect.succeed(data === null ? null : Buffer.from(data)))
      } catch (error) {
        resume(Effect.fail(linuxError("read", subject, error)))
      }
    }
    wakeReader = end
    attempt()
    return Effect.sync(reading.stop)
  })

  const collect = (limit: number): Collected => {
    const kept: Array<Uint8Array> = []
    let size = 0
    const ended = Deferred.makeUnsafe<void, LinuxError>()
    const finish = () => Deferred.doneUnsafe(ended, Effect.void)
    const attempt = () => {
      try {
        for (let reads = 0; reads < readsInRow; reads++) {
          const data = readOnce()
          if (data === null) {
            finish()
            return
          }
          if (data === "later") break
          const part = data.subarray(0, limit - size)
          size += part.length
          if (part.length > 0) kept.push(Buffer.from(part))
        }
        reading.wait("readable", attempt)
      } catch (error) {
        Deferred.doneUnsafe(ended, Effect.fail(linuxError("read", subject, error)))
      }
    }
    wakeReader = finish
    attempt()
    return { bytes: () => (kept.length === 1 ? kept[0]! : Buffer.concat(kept, size)), ended: Deferred.await(ended) }
  }

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
    collect,
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
