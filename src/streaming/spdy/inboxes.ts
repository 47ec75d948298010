/**
 * What the client has sent and the readers of its streams have not taken yet. Each reader may be behind by
 * `maxStreamBuffer` and all of them together by `maxConnectionBuffer`; then the connection is not read on.
 */
import { Cause, Effect, Latch, Queue, Stream } from "effect"
import type { ConnectionLost } from "../StreamingError.ts"
import { maxConnectionBuffer, maxStreamBuffer } from "./limits.ts"

export interface Inbox {
  /** Takes nothing after the end, a failure or a drop. */
  readonly add: (data: Uint8Array) => void
  /** Nothing more will come; what has come can still be read. */
  readonly end: () => void
  readonly fail: (error: ConnectionLost) => void
  /** Nobody wants it: neither what has come nor what will. */
  readonly drop: () => void
  /** For one reader; when it stops, the rest is dropped. */
  readonly stream: Stream.Stream<Uint8Array, ConnectionLost>
  /** Waits while this reader, or all of them together, are too far behind. */
  readonly untilRoom: Effect.Effect<void>
}

export interface Inboxes {
  readonly make: Effect.Effect<Inbox>
  /** Whoever waits for room, now or later, need not. */
  readonly stopWaiting: () => void
}

const askEvery = "5 seconds"

// What a piece costs beside its bytes: a client may send one byte at a time.
const pieceCost = 128

const costOf = (data: Uint8Array): number => data.byteLength + pieceCost

/** A small piece of a large buffer would keep all of it in memory. */
const own = (data: Uint8Array): Uint8Array =>
  2 * data.byteLength < data.buffer.byteLength ? new Uint8Array(data) : data

/**
 * Those of one connection. Nobody sees the end of a connection that is not read: `stillThere` is run again and again
 * while it waits for a reader, and ends in finding that the client is gone.
 */
export const makeInboxes = Effect.fnUntraced(function* (stillThere: Effect.Effect<void>) {
  const asking = Effect.sleep(askEvery).pipe(Effect.andThen(stillThere), Effect.forever)
  // Opened whenever something was taken.
  const room = yield* Latch.make(true)
  let heldByAll = 0
  let waiting = true

  const make = Effect.gen(function* () {
    const pieces = yield* Queue.unbounded<Uint8Array, ConnectionLost | Cause.Done>()
    let held = 0

    const hold = (cost: number) => {
      held += cost
      heldByAll += cost
    }
    const release = (cost: number) => {
      // All may have been dropped between a reader's taking and its telling.
      hold(-Math.min(cost, held))
      room.openUnsafe()
    }
    const drop = () => {
      Queue.endUnsafe(pieces)
      Queue.shutdownUnsafe(pieces)
      release(held)
    }
    const take = Effect.map(Queue.takeAll(pieces), (taken) => {
      release(taken.reduce((cost, piece) => cost + costOf(piece), 0))
      return taken
    })
    const untilRoom: Effect.Effect<void> = Effect.suspend(() => {
      const full = held >= maxStreamBuffer || heldByAll >= maxConnectionBuffer
      if (!full || !waiting) return Effect.void
      room.closeUnsafe()
      return Effect.andThen(Effect.raceFirst(room.await, asking), untilRoom)
    })
    const inbox: Inbox = {
      add: (data) => {
        if (data.byteLength > 0 && Queue.offerUnsafe(pieces, own(data))) hold(costOf(data))
      },
      end: () => Queue.endUnsafe(pieces),
      fail: (error) => Queue.failCauseUnsafe(pieces, Cause.fail(error)),
      drop,
      stream: Stream.fromPull(Effect.succeed(take)).pipe(Stream.ensuring(Effect.sync(drop))),
      untilRoom
    }
    return inbox
  })

  const inboxes: Inboxes = {
    make,
    stopWaiting: () => {
      waiting = false
      room.openUnsafe()
    }
  }
  return inboxes
})
