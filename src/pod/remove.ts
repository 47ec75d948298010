/** Removes containers and pods: stopped if need be, everything given back, then the record and with it the name. */
import { Effect } from "effect"
import { Jobs } from "./Jobs.ts"
import { containersOf, Pods } from "./Pods.ts"
import { Releases } from "./Releases.ts"
import { stopContainer } from "./stopContainer.ts"
import { stopPod } from "./stopPod.ts"

/** Gives back all that the record still names, then drops it. */
export const dissolve = Effect.fn("dissolve")(function* (id: string) {
  const pods = yield* Pods
  const releases = yield* Releases
  const { containers, pods: all } = yield* pods.snapshot
  yield* releases.release(id, (containers.get(id) ?? all.get(id))?.resources ?? [])
  yield* pods.forget(id)
})

const removingContainer = Effect.fn("removeContainer")(function* (id: string) {
  const pods = yield* Pods
  yield* pods.awaitContainer(id, ({ state }) => state._tag !== "Creating")
  yield* stopContainer(id, 0)
  yield* dissolve(id)
})

/** Succeeds when it is gone. */
export const removeContainer = Effect.fnUntraced(function* (id: string) {
  const jobs = yield* Jobs
  const releases = yield* Releases
  const work = removingContainer(id).pipe(Effect.catchTag("ContainerNotFound", () => Effect.void))
  yield* releases.insist(`remove container ${id}`, jobs.attach(`remove container ${id}`, work))
})

const removingPod = Effect.fn("removePod")(function* (id: string) {
  const pods = yield* Pods
  yield* stopPod(id)
  yield* Effect.forEach(containersOf(yield* pods.snapshot, id), ({ id }) => removeContainer(id), {
    concurrency: "unbounded",
    discard: true
  })
  yield* dissolve(id)
})

/** Succeeds when it is gone. */
export const removePod = Effect.fnUntraced(function* (id: string) {
  const jobs = yield* Jobs
  const releases = yield* Releases
  yield* releases.insist(`remove pod ${id}`, jobs.attach(`remove pod ${id}`, removingPod(id)))
})
