/** A socket that was upgraded, with what both its protocols need: why it is lost, when it drains, when it is gone. */
import { Effect, type Scope } from "effect"
import type { Socket } from "node:net"
import { lingerMs } from "../limits.ts"
import { ConnectionLost } from "../StreamingError.ts"

/** Milliseconds of silence after which the kernel asks whether the peer is still there. */
const keepAliveMs = 60_000

export interface GuardedSocket {
  readonly socket: Socket
  /** Why reading and writing fail; undefined as long as they do not. */
  readonly failure: () => ConnectionLost | undefined
  /** Waits until the kernel has taken enough of what was written. */
  readonly drained: Effect.Effect<void, ConnectionLost>
  /** Completes when the peer has ended, or the socket is closed. */
  readonly gone: Effect.Effect<void>
  /** Waits for the kernel to take everything, then for the peer to close, but not for long; then closes. */
  readonly linger: (end: (flushed: () => void) => void) => Effect.Effect<void>
}

/** Callbacks that are called once, all together. */
const makeWaiters = () => {
  let waiting = new Set<() => void>()
  return {
    add: (waiter: () => void) => {
      waiting.add(waiter)
      return Effect.sync(() => void waiting.delete(waiter))
    },
    wake: () => {
      const woken = waiting
      waiting = new Set()
      for (const waiter of woken) waiter()
    }
  }
}

/** Takes the socket over until the scope closes, which cuts it. `idleMs`: without a byte in either direction. */
export const guardSocket = (socket: Socket, idleMs: number): Effect.Effect<GuardedSocket, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => makeGuard(socket, idleMs)),
    () => Effect.sync(() => void socket.destroy())
  )

const makeGuard = (socket: Socket, idleMs: number): GuardedSocket => {
  const drains = makeWaiters()
  const ends = makeWaiters()
  const closes = makeWaiters()
  let lost: ConnectionLost | undefined
  let peerEnded = false

  const lose = (reason: string, cause?: unknown) => {
    lost ??= new ConnectionLost(cause === undefined ? { reason } : { reason, cause })
  }
  socket.setNoDelay(true)
  socket.setKeepAlive(true, keepAliveMs)
  socket.setTimeout(idleMs, () => {
    lose(`nothing was sent either way for ${idleMs / 1000} s`)
    socket.destroy()
  })
  socket.on("error", (cause: Error) => lose(cause.message, cause))
  socket.on("drain", drains.wake)
  socket.on("end", () => {
    peerEnded = true
    ends.wake()
  })
  socket.on("close", () => {
    lose("the connection was closed")
    for (const waiters of [drains, ends, closes]) waiters.wake()
  })

  const failure = () => {
    if (socket.destroyed) lose("the connection was closed")
    return lost
  }
  const drained = Effect.suspend(() => {
    const before = failure()
    if (before !== undefined) return Effect.fail(before)
    if (!socket.writableNeedDrain) return Effect.void
    return Effect.callback<void, ConnectionLost>((resume) =>
      drains.add(() => {
        const after = failure()
        resume(after === undefined ? Effect.void : Effect.fail(after))
      })
    )
  })
  const closed = Effect.callback<void>((resume) =>
    socket.closed ? resume(Effect.void) : closes.add(() => resume(Effect.void))
  )
  const gone = Effect.callback<void>((resume) =>
    socket.closed || peerEnded ? resume(Effect.void) : ends.add(() => resume(Effect.void))
  )
  const linger = (end: (flushed: () => void) => void) =>
    Effect.callback<void>((resume) => {
      if (socket.destroyed) return resume(Effect.void)
      const done = () => resume(Effect.void)
      const forget = closes.add(done)
      end(done)
      return forget
    }).pipe(
      Effect.andThen(Effect.timeoutOption(closed, lingerMs)),
      Effect.andThen(Effect.sync(() => void socket.destroy()))
    )

  return { socket, failure, drained, gone, linger }
}
