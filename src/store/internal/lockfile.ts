/**
 * The store's lock files. Other programs see an fcntl lock; fibers of this process queue in order before it, so they
 * never poll for one another. After a change the writer leaves 64 bytes of its own: others then know to read again.
 */
import { Clock, Effect, Random, Semaphore } from "effect"
import { type HeldLock, type LockMode, Locks } from "../../linux/Locks.ts"
import { ioError, type StoreIo } from "../StoreError.ts"

export interface StoreLock {
  /** Runs with the lock held. `touch` tells other programs that something changed. */
  readonly hold: <A, E, R>(
    mode: LockMode,
    body: (touch: Effect.Effect<void, StoreIo>) => Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | StoreIo, R>
}

const STAMP_BYTES = 64

/** Nanoseconds, a counter, the writer's number, then 44 random bytes (containers/storage, pkg/lockfile). */
const makeStamp = Effect.fnUntraced(function* (counter: bigint, writer: number) {
  const stamp = Buffer.alloc(STAMP_BYTES)
  stamp.writeBigUInt64LE(BigInt(yield* Clock.currentTimeMillis) * 1_000_000n, 0)
  stamp.writeBigUInt64LE(counter, 8)
  stamp.writeUInt32LE(writer, 16)
  const random = yield* Random.Random
  for (let offset = 20; offset < STAMP_BYTES; offset += 4) {
    stamp.writeUInt32LE(Math.floor(random.nextDoubleUnsafe() * 2 ** 32), offset)
  }
  return stamp
})

export const makeStoreLock = Effect.fnUntraced(function* (path: string) {
  const locks = yield* Locks
  const queue = yield* Semaphore.make(1)
  // Only has to differ from other writers'; a process id would not be the same in every simulated run.
  const writer = yield* Random.nextIntBetween(1, 0xffff_ffff)
  let counter = 0n
  const touch = (held: HeldLock) =>
    Effect.suspend(() => makeStamp(++counter, writer)).pipe(
      Effect.andThen((stamp) => held.writeStamp(stamp)),
      Effect.mapError(ioError("stamp", path))
    )
  const hold: StoreLock["hold"] = (mode, body) =>
    queue.withPermit(
      Effect.scoped(
        locks.acquire(path, mode).pipe(
          Effect.mapError(ioError("lock", path)),
          Effect.flatMap((held) => body(touch(held)))
        )
      )
    )
  return { hold } satisfies StoreLock
})
