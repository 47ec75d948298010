/**
 * RuntimeService.RunPodSandbox: one job per pod name, so that a client that gave up and asks again gets the pod that
 * it asked for first.
 */
import { Effect } from "effect"
import { Cni } from "../../cni/Cni.ts"
import { podIps } from "../../cni/CniResult.ts"
import type { RunPodSandboxRequest, RunPodSandboxResponse } from "../../gen/runtime/v1/api.ts"
import { RuntimeHandlers } from "../../oci/RuntimeHandlers.ts"
import { Admission } from "../../pod/Admission.ts"
import { Jobs } from "../../pod/Jobs.ts"
import { startPause } from "../../pod/pause.ts"
import { writePodFiles } from "../../pod/podFiles.ts"
import { pinNamespaces } from "../../pod/podNamespaces.ts"
import { type PodPlan, planPod } from "../../pod/podPlan.ts"
import { Pods } from "../../pod/Pods.ts"
import { rollBackOf, rollBackOnFailure } from "../../pod/rollBack.ts"
import { samePod } from "../../pod/sameRequest.ts"

export const runPodSandbox = Effect.fn("RuntimeService.RunPodSandbox")(function* (request: RunPodSandboxRequest) {
  const jobs = yield* Jobs
  const handler = yield* (yield* RuntimeHandlers).get(request.runtimeHandler)
  const plan = yield* planPod(request.config, request.runtimeHandler, handler)
  const podSandboxId = yield* jobs.attach(`RunPodSandbox ${plan.record.name}`, handOverOrStart(plan))
  yield* samePod(plan.record, (yield* (yield* Pods).snapshot).pods.get(podSandboxId))
  return { podSandboxId } satisfies RunPodSandboxResponse
})

const handOverOrStart = Effect.fnUntraced(function* (plan: PodPlan) {
  const pods = yield* Pods
  const admission = yield* Admission
  const jobs = yield* Jobs
  for (const pod of (yield* pods.snapshot).pods.values()) {
    if (pod.name !== plan.record.name) continue
    if (pod.state._tag === "Ready") return pod.id
    // Half made when an earlier daemon ended: what it took is on its way back.
    if (pod.state._tag === "Starting") yield* jobs.settled(rollBackOf(pod.id))
  }
  return yield* start(plan).pipe(admission.admit(`pod ${plan.record.name}`))
})

const start = Effect.fnUntraced(function* (plan: PodPlan) {
  const pods = yield* Pods
  const { id } = plan.record
  return yield* Effect.gen(function* () {
    yield* pods.begin(plan.record)
    yield* pinNamespaces(plan)
    const [ips] = yield* Effect.all([joinNetwork(plan), writePodFiles(plan)], { concurrency: 2 })
    const pause = yield* startPause(plan)
    yield* pods.move(id, { _tag: "NetworkUp" }, { ips, pause })
    return id
  }).pipe(rollBackOnFailure(id))
})

const joinNetwork = Effect.fnUntraced(function* ({ record }: PodPlan) {
  const cni = yield* Cni
  const row = record.resources.find((resource) => resource._tag === "Network")
  return row === undefined ? [] : podIps(yield* cni.add(row.attachment))
})
