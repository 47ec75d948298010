/** Finds listed pods and containers by id, or by the beginning of an id as people type it. */
import { Effect } from "effect"
import type { ContainerRecord } from "./ContainerRecord.ts"
import { AmbiguousId, ContainerNotFound, PodNotFound } from "./PodError.ts"
import type { PodRecord } from "./PodRecord.ts"
import { listed, Pods } from "./Pods.ts"

const find = <A extends PodRecord | ContainerRecord>(records: ReadonlyMap<string, A>, id: string) => {
  const exact = records.get(id)
  if (exact !== undefined && listed(exact)) return Effect.succeed(exact)
  const matches = id === "" ? [] : Array.from(records.values()).filter((one) => one.id.startsWith(id) && listed(one))
  if (matches.length > 1) return Effect.fail(new AmbiguousId({ id, matches: matches.length }))
  return Effect.succeed(matches[0])
}

export const findPod = Effect.fnUntraced(function* (id: string) {
  const { pods } = yield* (yield* Pods).snapshot
  return (yield* find<PodRecord>(pods, id)) ?? (yield* new PodNotFound({ id }))
})

export const findContainer = Effect.fnUntraced(function* (id: string) {
  const { containers } = yield* (yield* Pods).snapshot
  return (yield* find<ContainerRecord>(containers, id)) ?? (yield* new ContainerNotFound({ id }))
})
