/** What the real daemon tells of a pod that runs in the simulated world, on either version of cgroups. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { runScenario } from "../world/Simulation.ts"
import { Kubelet } from "./support/kubelet.ts"
import { podWalk } from "./support/podWalk.ts"

const names = readFileSync(new URL("../conformance/tools/specs/metric-names.txt", import.meta.url), "utf8")
  .trim()
  .split("\n")

/** v1 knows neither pressure nor, in this world, huge pages; nobody reads or writes devices; the container has no quota. */
const without = {
  v1: /^container_(pressure|hugetlb|blkio|fs_(reads|writes)|spec_cpu_quota)/,
  v2: /^container_(blkio|fs_(reads|writes)|spec_cpu_quota)/
}

type Answers = Effect.Success<Kubelet["statistics"]>

const answersOn = async (cgroups: "v1" | "v2"): Promise<Answers> => {
  const kubelet = new Kubelet({ imageName: "registry.test/library/busybox:1", args: ["sh", "-c", "sleep 3600"] })
  let answers: Answers | undefined
  const note = kubelet.statistics.pipe(Effect.tap((found) => Effect.sync(() => (answers = found))))
  const { failures } = await runScenario(() => ({
    ...podWalk({ world: { cgroups } })(),
    steps: [
      { name: "PullImage", run: kubelet.pullImage },
      { name: "RunPodSandbox", run: kubelet.runPod },
      { name: "CreateContainer", run: kubelet.createContainer },
      { name: "StartContainer", run: kubelet.startContainer },
      { name: "Statistics", run: note },
      { name: "RemovePodSandbox", run: kubelet.removePod },
      { name: "RemoveImage", run: kubelet.removeImage }
    ]
  }))
  assert.deepStrictEqual(failures, [])
  if (answers === undefined) throw new Error("nobody has answered")
  return answers
}

describe.each(["v1", "v2"] as const)("statistics on cgroup %s", (cgroups) => {
  it("of containers and pods say what the world says", async () => {
    const { container, containers, pod, pods } = await answersOn(cgroups)
    assert.strictEqual(container?.memory?.usageBytes?.value, 16_384n)
    assert.strictEqual(container?.memory?.workingSetBytes?.value, 12_288n)
    assert.strictEqual(container?.cpu?.usageCoreNanoSeconds?.value, 1_000_000n)
    assert.isAbove(Number(container?.writableLayer?.inodesUsed?.value), 0)
    assert.strictEqual(container?.io === undefined, cgroups === "v1")
    assert.deepStrictEqual(containers, [container])
    assert.strictEqual(pod?.linux?.network?.defaultInterface?.name, "eth0")
    assert.isAbove(Number(pod?.linux?.process?.processCount?.value), 0)
    assert.deepStrictEqual(pod?.linux?.containers, [container])
    assert.deepStrictEqual(pods, [pod])
  })

  it("as metrics have a value of each name, labelled as described", async () => {
    const { descriptors, podMetrics } = await answersOn(cgroups)
    const keys = new Map(descriptors.map(({ name, labelKeys }) => [name, labelKeys]))
    const [pod] = podMetrics
    const metrics = [...(pod?.metrics ?? []), ...(pod?.containerMetrics[0]?.metrics ?? [])]
    assert.sameMembers(
      [...new Set(metrics.map(({ name }) => name))],
      names.filter((name) => !without[cgroups].test(name))
    )
    for (const { name, labelValues } of metrics) assert.strictEqual(labelValues.length, keys.get(name)?.length, name)
    const descriptorsOpen = metrics.find(({ name }) => name === "container_file_descriptors")
    assert.isAtLeast(Number(descriptorsOpen?.value?.value), 3)
  })
})
