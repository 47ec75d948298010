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

/** So many are read at a time, in one or two milliseconds; then others get their turn. */
const chunk = 24

const chunksOf = <A>(all: ReadonlyArray<A>): ReadonlyArray<ReadonlyArray<A>> =>
  Array.from({ length: Math.ceil(all.length / chunk) }, (_, index) => all.slice(index * chunk, (index + 1) * chunk))

export const makeSheet = <A extends Sampled, S extends CgroupSample>(
  /** One sweep at a time: whoever comes meanwhile finds its samples. */
  turn: Semaphore.Semaphore,
  /** Samples of these, in their order. */
  take: (some: ReadonlyArray<A>, before: (one: A) => S | undefined) => Effect.Effect<ReadonlyArray<S>>
): Sheet<A, S> => {
  const latest = new Map<string, S>()
  const before = ({ id }: A) => latest.get(id)

  const due: Sheet<A, S>["due"] = (wanted, maxAgeNs) =>
    Effect.map(Clock.currentTimeNanos, (now) =>
      wanted.filter((one) => {
        const sample = before(one)
        // From the future where the host's time has gone back since.
        return sample === undefined || now < sample.atNs || now - sample.atNs >= maxAgeNs
      })
    )

  const sample = Effect.fnUntraced(function* (some: ReadonlyArray<A>) {
    const samples = yield* take(some, before)
    for (const [index, { id }] of some.entries()) {
      const sample = samples[index]
      if (sample !== undefined) latest.set(id, sample)
    }
  })

  const refresh = Effect.fnUntraced(function* (wanted: ReadonlyArray<A>, maxAgeNs: bigint) {
    for (const [index, some] of chunksOf(yield* due(wanted, maxAgeNs)).entries()) {
      if (index > 0) yield* Effect.yieldNow
      yield* sample(some)
    }
  })

  return {
    due,
    refresh: (wanted, maxAgeNs) => turn.withPermit(refresh(wanted, maxAgeNs)),
    get: (id) => latest.get(id),
    forgetUnless: (present) => {
      for (const id of latest.keys()) if (!present(id)) latest.delete(id)
    }
  }
}
