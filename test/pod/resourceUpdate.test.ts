import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { LinuxContainerResources } from "../../src/gen/runtime/v1/api.ts"
import type { Limits } from "../../src/pod/Limits.ts"
import { planUpdate } from "../../src/pod/resourceUpdate.ts"

const blank = LinuxContainerResources.decode(new Uint8Array(0))
const facts = { cgroupVersion: 1, swapLimit: true, hugepages: true } as const
const v2 = { ...facts, cgroupVersion: 2 } as const
const mib = 1n << 20n

const old: Limits = {
  ...blank,
  cpuPeriod: 100_000n,
  cpuQuota: 20_000n,
  cpuShares: 512n,
  memoryLimitInBytes: 64n * mib,
  oomScoreAdj: 900n,
  cpusetCpus: "0",
  hugepageLimits: [{ pageSize: "2MB", limit: 4n * mib }],
  unified: { "memory.high": "1", "pids.max": "7" }
}

const plan = (
  requested: Partial<LinuxContainerResources>,
  more: { readonly limits?: Limits | null; readonly facts?: typeof facts | typeof v2 } = {}
) => planUpdate({ limits: old, facts, minimumMemory: 500 * 1024, ...more, requested: { ...blank, ...requested } })
const planned = (...parameters: Parameters<typeof plan>) => Result.getOrThrow(plan(...parameters))
const refused = (...parameters: Parameters<typeof plan>) => {
  const result = plan(...parameters)
  return Result.isFailure(result) ? `${result.failure.field}: ${result.failure.reason}` : "taken"
}

describe("an update of resources", () => {
  it("with nothing in it changes nothing", () => {
    const { limits, resources, files, touched } = planned({})
    assert.deepStrictEqual({ ...limits }, { ...old })
    assert.deepStrictEqual([resources, files, touched], [{}, {}, []])
  })

  it("changes the fields that it names and no others", () => {
    const { limits, resources, touched } = planned({ cpuQuota: -1n, cpusetMems: "1" })
    assert.deepStrictEqual({ ...limits }, { ...old, cpuQuota: -1n, cpusetMems: "1" })
    assert.deepStrictEqual(resources, { cpu: { quota: -1n, mems: "1" } })
    assert.deepStrictEqual(touched, ["cpu.cfs_quota_us", "cpuset.mems"])
    assert.deepStrictEqual(planned({ cpuShares: 2n, cpuPeriod: 5n }, { facts: v2 }).touched, ["cpu.weight", "cpu.max"])
  })

  it("of a container without limits starts from none", () => {
    const { limits } = planned({ cpuShares: 2n }, { limits: null })
    assert.deepStrictEqual({ ...limits }, { ...blank, cpuShares: 2n })
  })

  it("does not pretend to change a score that processes got at their start", () => {
    const { limits, resources } = planned({ oomScoreAdj: -5n })
    assert.deepStrictEqual([limits.oomScoreAdj, resources], [900n, {}])
  })

  it("of memory moves the limit of memory and swap with it, unless that one is the container's own", () => {
    assert.deepStrictEqual(planned({ memoryLimitInBytes: 128n * mib }).resources, {
      memory: { limit: 128n * mib, swap: 128n * mib }
    })
    const swapping = { ...old, memorySwapLimitInBytes: 100n * mib }
    assert.deepStrictEqual(planned({ memoryLimitInBytes: 90n * mib }, { limits: swapping }).resources, {
      memory: { limit: 90n * mib, swap: 100n * mib }
    })
    assert.include(
      refused({ memoryLimitInBytes: 128n * mib }, { limits: swapping }),
      "memory_swap_limit_in_bytes: 104857600 is below the memory limit of 134217728"
    )
    assert.include(refused({ memorySwapLimitInBytes: mib }), "is below the memory limit")
    assert.deepStrictEqual(planned({ memorySwapLimitInBytes: 200n * mib }).resources, {
      memory: { limit: 64n * mib, swap: 200n * mib }
    })
    assert.deepStrictEqual(planned({ memorySwapLimitInBytes: 200n * mib }).touched, [
      "memory.limit_in_bytes",
      "memory.memsw.limit_in_bytes"
    ])
    assert.deepStrictEqual(planned({ memoryLimitInBytes: 200n * mib }, { facts: v2 }).touched, [
      "memory.max",
      "memory.swap.max"
    ])
  })

  it("names no swap where the kernel does not account for it", () => {
    const update = plan({ memoryLimitInBytes: 128n * mib }, { facts: { ...facts, swapLimit: false } as never })
    assert.deepStrictEqual(Result.getOrThrow(update).resources, { memory: { limit: 128n * mib } })
  })

  it("refuses memory that no runtime could start in, and less than nothing", () => {
    assert.include(refused({ memoryLimitInBytes: 4096n }), "too low; should be at least 512000 bytes")
    assert.include(refused({ memoryLimitInBytes: -1n }), "negative")
  })

  it("merges huge pages by size; 0 is a limit there", () => {
    const hugepageLimits = [
      { pageSize: "2MB", limit: 0n },
      { pageSize: "1GB", limit: 1n << 30n }
    ]
    const { limits, files, resources, touched } = planned({ hugepageLimits })
    assert.deepStrictEqual(limits.hugepageLimits, hugepageLimits)
    const expected = { "hugetlb.2MB.limit_in_bytes": "0", "hugetlb.1GB.limit_in_bytes": "1073741824" }
    assert.deepStrictEqual([files, touched, resources], [expected, Object.keys(expected), {}])
    assert.deepStrictEqual(Object.keys(planned({ hugepageLimits }, { facts: v2 }).files), [
      "hugetlb.2MB.max",
      "hugetlb.1GB.max"
    ])
    assert.include(refused({ hugepageLimits: [{ pageSize: "../x", limit: 1n }] }), "is not a page size")
  })

  it("merges unified keys on cgroup v2, and refuses them on v1 and where they are no file", () => {
    const { limits, resources, touched } = planned({ unified: { "memory.high": "5" } }, { facts: v2 })
    assert.deepStrictEqual(limits.unified, { "memory.high": "5", "pids.max": "7" })
    assert.deepStrictEqual(resources, { unified: { "memory.high": "5" } })
    assert.deepStrictEqual(touched, ["memory.high"])
    assert.include(refused({ unified: { "memory.high": "5" } }), "cgroup v1")
    for (const key of ["../memory.max", "memory/max", "", "memory", "a\0.b"]) {
      assert.include(refused({ unified: { [key]: "1" } }, { facts: v2 }), "is not the name of a cgroup v2 file", key)
    }
  })
})
