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
  readonly read: Effect.Effect<Uint8Array | undefined> = this.whenReady(() => {
    const chunk = this.take()
    return chunk === "empty" ? undefined : { value: chunk }
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

  /** Waits until somebody can read: open(2) of a FIFO for writing. */
  readonly attended: Effect.Effect<void> = this.whenReady(() => (this.readers > 0 ? { value: undefined } : undefined))

  /** Waits until nobody can read any more. */
  readonly abandoned: Effect.Effect<void> = this.whenReady(() =>
    this.readers === 0 ? { value: undefined } : undefined
  )

  /** Blocks while the pipe is full; EPIPE when nobody reads. */
  write(data: Uint8Array): Effect.Effect<void, Errno> {
    return Effect.flatMap(
      this.whenReady(() => {
        if (this.readers === 0) return { value: false }
        if (this.size > 0 && this.size + data.length > capacity) return undefined
        this.push(data)
        return { value: true }
      }),
      (written) => (written ? Effect.void : Effect.fail(new Errno("EPIPE")))
    )
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

  /** Tries now and at every change; looking and lying down to wait are one step, so no change is missed. */
  private whenReady<A>(attempt: () => { readonly value: A } | undefined): Effect.Effect<A> {
    return Effect.callback<A>((resume) => {
      const look = () => {
        const result = attempt()
        if (result === undefined) this.waiting.add(look)
        else resume(Effect.succeed(result.value))
      }
      look()
      return Effect.sync(() => this.waiting.delete(look))
    })
  }
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
    pipe.wake()
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
