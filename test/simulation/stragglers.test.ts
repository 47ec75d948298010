/** What a container leaves in the PID namespace of its pod, which it shares: killed with it, whoever dies meanwhile. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { exhaust } from "../world/exhaust.ts"
import { Kubelet } from "./support/kubelet.ts"
import { podWalk } from "./support/podWalk.ts"

/** A pod whose container leaves a process behind; the pod is stopped before the container is removed. */
const walk = (cgroups: "v1" | "v2") => () => {
  const kubelet = new Kubelet({
    imageName: "registry.test/library/busybox:1",
    args: ["sh", "-c", "sleep 3600 >/dev/null 2>/dev/null & sleep 1; exit 0"],
    sharesProcesses: true
  })
  const startOnce = Effect.suspend(() => (kubelet.containerId === "" ? kubelet.reachContainer : Effect.void)).pipe(
    Effect.andThen(kubelet.startContainer)
  )
  return {
    ...podWalk({ world: { cgroups } })(),
    steps: [
      { name: "PullImage", run: kubelet.pullImage },
      { name: "RunPodSandbox", run: kubelet.runPod, retry: kubelet.reachPod },
      { name: "CreateContainer", run: kubelet.createContainer, retry: kubelet.reachContainer },
      { name: "StartContainer", run: startOnce, retry: kubelet.reachRunning },
      { name: "Ends", run: Effect.sleep("3 seconds") },
      { name: "StopPodSandbox", run: kubelet.stopPod },
      { name: "RemovePodSandbox", run: kubelet.removePod },
      { name: "RemoveImage", run: kubelet.removeImage }
    ]
  }
}

/** v1: what freezes, looks whether it is frozen, and thaws. v2: what kills all at once. */
const killing = /\/(freezer\.state|cgroup\.kill)$/

describe.each(["v1", "v2"] as const)("a process that outlives its container on %s", (cgroups) => {
  it("goes with the pod, although the daemon dies while it is killed", { timeout: 60_000 }, async () => {
    const report = await exhaust({
      make: walk(cgroups),
      kinds: ["crash"],
      when: ["before", "after"],
      only: ({ subject }) => killing.test(subject)
    })
    assert.deepStrictEqual(
      report.failed.map(({ title, failures }) => [title, ...failures]),
      []
    )
    assert.strictEqual(report.done, report.planned)
    assert.isAtLeast(report.planned, 2)
  })
})
