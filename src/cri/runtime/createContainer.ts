/**
 * RuntimeService.CreateContainer: one job per container name, so that a client that gave up and asks again gets the
 * container that it asked for first.
 */
import { Effect } from "effect"
import type { CreateContainerRequest, CreateContainerResponse } from "../../gen/runtime/v1/api.ts"
import { Admission } from "../../pod/Admission.ts"
import { buildContainerSpec } from "../../pod/buildContainerSpec.ts"
import { mountRootfs } from "../../pod/containerLayer.ts"
import { type ContainerPlan, planContainer } from "../../pod/containerPlan.ts"
import { mountImageVolumes } from "../../pod/imageVolumes.ts"
import { Jobs } from "../../pod/Jobs.ts"
import { launchMonitor } from "../../pod/launchMonitor.ts"
import { findPod } from "../../pod/lookup.ts"
import { WrongState } from "../../pod/PodError.ts"
import { Pods } from "../../pod/Pods.ts"
import { rollBackOf, rollBackOnFailure } from "../../pod/rollBack.ts"
import { sameContainer } from "../../pod/sameRequest.ts"

export const createContainer = Effect.fn("RuntimeService.CreateContainer")(function* (request: CreateContainerRequest) {
  const jobs = yield* Jobs
  const pod = yield* findPod(request.podSandboxId)
  const plan = yield* planContainer(pod, request.config)
  const containerId = yield* jobs.attach(`CreateContainer ${pod.id} ${plan.record.name}`, handOverOrCreate(plan))
  yield* sameContainer(plan.record, (yield* (yield* Pods).snapshot).containers.get(containerId))
  return { containerId } satisfies CreateContainerResponse
})

const handOverOrCreate = Effect.fnUntraced(function* (plan: ContainerPlan) {
  const pods = yield* Pods
  const admission = yield* Admission
  const jobs = yield* Jobs
  for (const container of (yield* pods.snapshot).containers.values()) {
    if (container.podId !== plan.pod.id || container.name !== plan.record.name) continue
    if (container.state._tag === "Created") return container.id
    // Half made when an earlier daemon ended: what it took is on its way back.
    if (container.state._tag === "Creating") yield* jobs.settled(rollBackOf(container.id))
  }
  return yield* create(plan).pipe(admission.admit(`container ${plan.record.name}`))
})

/** A pod that is stopped does not wait for what is being made in it: the making fails and gives back what it took. */
const unlessPodStops =
  ({ pod, record }: ContainerPlan) =>
  <A, E, R>(making: Effect.Effect<A, E, R>) =>
    Effect.gen(function* () {
      const stopped = (yield* Pods)
        .awaitPod(pod.id, ({ state }) => state._tag !== "Ready")
        .pipe(
          Effect.flatMap(({ state }) => {
            const object = `container ${record.metadata.name} in pod sandbox ${pod.id}`
            return Effect.fail(new WrongState({ object, action: "create", reason: `the pod is ${state._tag}` }))
          })
        )
      return yield* Effect.raceFirst(making, stopped)
    })

const create = Effect.fnUntraced(function* (plan: ContainerPlan) {
  const pods = yield* Pods
  const { id } = plan.record
  return yield* Effect.gen(function* () {
    yield* pods.beginContainer(plan.record)
    const rootfs = yield* mountRootfs(plan)
    const imageSources = yield* mountImageVolumes(plan)
    const { spec, user } = yield* buildContainerSpec(plan, { rootfs, imageSources })
    const init = yield* launchMonitor(
      { ...plan.record, handler: plan.handler, monitorCgroup: plan.monitorCgroup },
      spec
    )
    yield* pods.moveContainer(id, { _tag: "Created", ...init }, { user })
    return id
  }).pipe(unlessPodStops(plan), rollBackOnFailure(id))
})
