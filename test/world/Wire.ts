/** Connections of the simulated kernel: two pipes, listeners that hand out one side, and pseudo-terminals. */
import { Effect } from "effect"
import { Errno } from "./Errno.ts"
import { Pipe, PipeEnd } from "./Pipe.ts"

/** What one of the two peers holds. Chunks are packets. */
export interface Side {
  readonly incoming: PipeEnd
  readonly outgoing: PipeEnd
}

const makeSides = (): readonly [Side, Side] => {
  const [there, back] = [new Pipe(), new Pipe()]
  return [
    { incoming: new PipeEnd(back, "read"), outgoing: new PipeEnd(there, "write") },
    { incoming: new PipeEnd(there, "read"), outgoing: new PipeEnd(back, "write") }
  ]
}

export const closeSide = ({ incoming, outgoing }: Side): void => {
  incoming.close()
  outgoing.close()
}

export class Listener {
  private readonly pending: Array<Side> = []
  private waiting: (() => void) | undefined
  private open = true

  /** The client's side. */
  connect(): Side {
    if (!this.open) throw new Errno("ECONNREFUSED")
    const [ours, theirs] = makeSides()
    this.pending.push(theirs)
    this.waiting?.()
    return ours
  }

  /** The server's side of the next connection. For one fiber. */
  readonly accept: Effect.Effect<Side> = Effect.callback((resume) => {
    const look = () => {
      const next = this.pending.shift()
      if (next === undefined) return
      this.waiting = undefined
      resume(Effect.succeed(next))
    }
    this.waiting = look
    look()
    return Effect.sync(() => (this.waiting = undefined))
  })

  close(): void {
    this.open = false
    this.pending.splice(0).forEach(closeSide)
  }
}

/** A pseudo-terminal. Lines are not edited and nothing is echoed. */
export class Pty {
  readonly input = new Pipe()
  readonly output = new Pipe()
  /** "rows columns", as `stty size` prints it. */
  size = "0 0"
  readonly master: Side = {
    incoming: new PipeEnd(this.output, "read"),
    outgoing: new PipeEnd(this.input, "write")
  }
  /** Descriptors 0, 1 and 2 of a program that runs on it. */
  slave(): Map<number, PipeEnd> {
    return new Map([
      [0, new PipeEnd(this.input, "read")],
      [1, new PipeEnd(this.output, "write")],
      [2, new PipeEnd(this.output, "write")]
    ])
  }
}
