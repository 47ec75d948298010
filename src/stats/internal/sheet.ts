/** The latest sample of each thing, by its id. */
import { Clock, Effect, type Semaphore } from "effect"
import type { CgroupSample } from "../Sample.ts"

interface Sampled {
  readonly id: string
}

export interface Sheet<A, S> {
  /** Those of which there is no sample, or only an older one. */
  readonly due: (wanted: ReadonlyArray<A>, maxAgeNs: bigint) => Effect.Effect<ReadonlyArray<A>>
  /** Samples those that are due. */
  readonly refresh: (wanted: ReadonlyArray<A>, maxAgeNs: bigint) => Effect.Effect<void>
  readonly get: (id: string) => S | undefined
  readonly forgetUnless: (present: (id: string) => boolean) => void
}

export const makeSheet = <A extends Sampled, S extends CgroupSample>(
  /** One sweep at a time: whoever comes meanwhile finds its samples. */
  turn: Semaphore.Semaphore,
  take: (one: A, before: S | undefined) => Effect.Effect<S>
): Sheet<A, S> => {
  const latest = new Map<string, S>()

  const due: Sheet<A, S>["due"] = (wanted, maxAgeNs) =>
    Effect.map(Clock.currentTimeNanos, (now) =>
      wanted.filter(({ id }) => {
        const sample = latest.get(id)
        return sample === undefined || now - sample.atNs >= maxAgeNs
      })
    )

  const sample = Effect.fnUntraced(function* (one: A) {
    latest.set(one.id, yield* take(one, latest.get(one.id)))
    // Between two, others get their turn: a sweep of hundreds must not hold up the loop.
    yield* Effect.yieldNow
  })

  return {
    due,
    refresh: (wanted, maxAgeNs) =>
      turn.withPermit(Effect.flatMap(due(wanted, maxAgeNs), (now) => Effect.forEach(now, sample, { discard: true }))),
    get: (id) => latest.get(id),
    forgetUnless: (present) => {
      for (const id of latest.keys()) if (!present(id)) latest.delete(id)
    }
  }
}
