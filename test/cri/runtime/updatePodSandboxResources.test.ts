import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { podSandboxStatus } from "../../../src/cri/runtime/podSandboxStatus.ts"
import { updatePodSandboxResources } from "../../../src/cri/runtime/updatePodSandboxResources.ts"
import { LinuxContainerResources } from "../../../src/gen/runtime/v1/api.ts"
import type { PodRecord } from "../../../src/pod/PodRecord.ts"
import { Pods } from "../../../src/pod/Pods.ts"
import { Host, podId, podRecord } from "../../pod/support/host.ts"

const blank = LinuxContainerResources.decode(new Uint8Array(0))

describe("UpdatePodSandboxResources", () => {
  it.effect("keeps what kubelet says, also when it says it again; what it leaves out stays", () => {
    const host = new Host()
    return Effect.gen(function* () {
      yield* (yield* Pods).adopt([podRecord()], [])
      const overhead = { ...blank, memoryLimitInBytes: 9_007_199_254_740_993n }
      const resources = { ...blank, cpuShares: 200n, hugepageLimits: [{ pageSize: "2MB", limit: 1n }] }
      const request = { podSandboxId: podId.slice(0, 12), overhead, resources }
      for (let times = 0; times < 2; times++) {
        assert.deepStrictEqual(yield* updatePodSandboxResources(request), {})
        const saved = host.saved.get(podId) as PodRecord
        assert.deepStrictEqual([saved.overhead, saved.limits], [overhead, resources])
      }
      const later = { ...blank, cpuShares: 300n }
      yield* updatePodSandboxResources({ podSandboxId: podId, overhead: undefined, resources: later })
      const saved = host.saved.get(podId) as PodRecord
      assert.deepStrictEqual([saved.overhead, saved.limits, saved.state], [overhead, later, { _tag: "Ready" }])
      const { info } = yield* podSandboxStatus({ podSandboxId: podId, verbose: true })
      const told = JSON.parse(info["info"] ?? "{}") as { limits: object; overhead: object }
      assert.deepInclude(told.limits, { cpuShares: "300" })
      assert.deepInclude(told.overhead, { memoryLimitInBytes: "9007199254740993" })
    }).pipe(Effect.provide(Layer.fresh(host.layer)))
  })

  it.effect("of an unknown pod is NotFound", () =>
    Effect.gen(function* () {
      const request = { podSandboxId: "f".repeat(64), overhead: undefined, resources: blank }
      assert.strictEqual((yield* Effect.flip(updatePodSandboxResources(request)))._tag, "PodNotFound")
    }).pipe(Effect.provide(new Host().layer))
  )
})
