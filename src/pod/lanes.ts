/** Takes turns: what is done in one lane is done one after another, in the order of asking. */
import { Effect, Semaphore } from "effect"

interface Lane {
  readonly turn: Semaphore.Semaphore
  /** Those in it and those that wait for their turn. */
  users: number
}

export interface Lanes {
  /** Not interruptible, neither waiting nor in the lane: what has been asked for is finished. */
  readonly inLane: (name: string) => <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Lanes that somebody is in; the others take no memory. */
  readonly inUse: () => number
}

export const makeLanes = (): Lanes => {
  const lanes = new Map<string, Lane>()
  const enter = (name: string) => {
    const lane = lanes.get(name) ?? { turn: Semaphore.makeUnsafe(1), users: 0 }
    lanes.set(name, lane)
    lane.users += 1
    return lane
  }
  const leave = (name: string, lane: Lane) => {
    lane.users -= 1
    if (lane.users === 0) lanes.delete(name)
  }
  return {
    inLane: (name) => (self) =>
      Effect.suspend(() => {
        const lane = enter(name)
        return Effect.ensuring(
          lane.turn.withPermit(self),
          Effect.sync(() => leave(name, lane))
        )
      }).pipe(Effect.uninterruptible),
    inUse: () => lanes.size
  }
}
