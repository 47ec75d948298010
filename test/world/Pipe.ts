/** A pipe of the simulated kernel: bytes between fibers, with the ends counted. */
import { Effect } from "effect"
import { Errno } from "./Errno.ts"

const capacity = 65_536

export class Pipe {
  readers = 0
  writers = 0
  private chunks: Array<Uint8Array> = []
  private size = 0
  private readonly waiting = new Set<() => void>()

  /** Bytes as they come; undefined at the end. */
  readonly read: Effect.Effect<Uint8Array | undefined> = Effect.suspend(() => {
    const chunk = this.take()
    if (chunk !== "empty") return Effect.succeed(chunk)
    return Effect.flatMap(this.changed, () => this.read)
  })

  /** Everything until the last writer closes. */
  readonly readAll: Effect.Effect<Uint8Array> = Effect.suspend(() => {
    const parts: Array<Uint8Array> = []
    const loop: Effect.Effect<Uint8Array> = Effect.flatMap(this.read, (chunk) => {
      if (chunk === undefined) return Effect.succeed(Buffer.concat(parts))
      parts.push(chunk)
      return loop
    })
    return loop
  })

  /** Blocks while the pipe is full; EPIPE when nobody reads. */
  write(data: Uint8Array): Effect.Effect<void, Errno> {
    return Effect.suspend(() => {
      if (this.readers === 0) return Effect.fail(new Errno("EPIPE"))
      if (this.size > 0 && this.size + data.length > capacity) {
        return Effect.flatMap(this.changed, () => this.write(data))
      }
      this.push(data)
      return Effect.void
    })
  }

  /** Without waiting: for FIFOs opened O_NONBLOCK. */
  push(data: Uint8Array): void {
    if (data.length === 0) return
    this.chunks.push(data)
    this.size += data.length
    this.wake()
  }

  /** What is in it now, as text. */
  drain(): string {
    const text = Buffer.concat(this.chunks).toString()
    this.chunks = []
    this.size = 0
    this.wake()
    return text
  }

  wake(): void {
    const waiting = [...this.waiting]
    this.waiting.clear()
    for (const resume of waiting) resume()
  }

  private take(): Uint8Array | undefined | "empty" {
    const chunk = this.chunks.shift()
    if (chunk !== undefined) {
      this.size -= chunk.length
      this.wake()
      return chunk
    }
    return this.writers === 0 ? undefined : "empty"
  }

  private readonly changed: Effect.Effect<void> = Effect.callback<void>((resume) => {
    const wake = () => resume(Effect.void)
    this.waiting.add(wake)
    return Effect.sync(() => this.waiting.delete(wake))
  })
}

/** One end of a pipe as a descriptor holds it. Closing twice is closing once. */
export class PipeEnd {
  readonly pipe: Pipe
  readonly side: "read" | "write"
  private open = true
  constructor(pipe: Pipe, side: "read" | "write") {
    this.pipe = pipe
    this.side = side
    if (side === "read") pipe.readers++
    else pipe.writers++
  }
  /** A second descriptor of the same end, as fork makes it. */
  duplicate(): PipeEnd {
    return new PipeEnd(this.pipe, this.side)
  }
  close(): void {
    if (!this.open) return
    this.open = false
    if (this.side === "read") this.pipe.readers--
    else this.pipe.writers--
    this.pipe.wake()
  }
}
