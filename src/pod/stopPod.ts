/** Stops a pod: its containers, then its network and namespaces. Files and name stay until it is removed. */
import { Effect } from "effect"
import { endStragglers } from "./exits.ts"
import { containersOf, Pods } from "./Pods.ts"
import type { Resource } from "./Resource.ts"
import { Releases } from "./Releases.ts"
import { stopContainer } from "./stopContainer.ts"
import { Jobs } from "./Jobs.ts"

/** Given back at stop: what costs the node something or holds an address. */
const endsWithStop: ReadonlySet<Resource["_tag"]> = new Set(["Runtime", "Layer", "Network", "Namespace", "Mount"])

const stopping = Effect.fn("stopPod")(function* (id: string) {
  const pods = yield* Pods
  const releases = yield* Releases
  const pod = yield* pods.move(id, { _tag: "StopRequested" })
  if (pod.state._tag === "NotReady" && !pod.resources.some(({ _tag }) => endsWithStop.has(_tag))) return
  const containers = containersOf(yield* pods.snapshot, id)
  yield* Effect.forEach(
    containers,
    // One that is still being created fails now; the pod takes no new ones.
    ({ id }) =>
      pods
        .awaitContainer(id, ({ state }) => state._tag !== "Creating")
        .pipe(
          Effect.andThen(stopContainer(id, 0)),
          Effect.catchTag("ContainerNotFound", () => Effect.void)
        ),
    { concurrency: "unbounded", discard: true }
  )
  // The process that holds their PID namespace ends when they all have.
  yield* Effect.forEach(containersOf(yield* pods.snapshot, id), endStragglers, { discard: true })
  const { resources } = yield* pods.pod(id)
  yield* releases.release(
    id,
    resources.filter(({ _tag }) => endsWithStop.has(_tag))
  )
  yield* pods.move(id, { _tag: "Stopped" })
})

/** Succeeds when it is stopped already, or gone. */
export const stopPod = Effect.fnUntraced(function* (id: string) {
  const jobs = yield* Jobs
  const releases = yield* Releases
  // Removed meanwhile: then nothing is left to stop, and nothing to try again.
  const work = stopping(id).pipe(Effect.catchTag("PodNotFound", () => Effect.void))
  yield* releases.insist(`stop pod ${id}`, jobs.attach(`stop pod ${id}`, work))
})
