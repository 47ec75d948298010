/** What an UpdateContainerResources request comes to. 0 and "" leave a field as it is (CRI LinuxContainerResources). */
import { Result } from "effect"
import type { LinuxContainerResources } from "../gen/runtime/v1/api.ts"
import type { LimitValues } from "../cgroup/CgroupLimits.ts"
import type { Resources } from "../model/RuntimeSpec.ts"
import type { HostFactsShape } from "../oci/HostFacts.ts"
import { type Fault, invalid } from "../oci/spec/fault.ts"
import { resources } from "../oci/spec/resources.ts"
import type { Limits } from "./Limits.ts"

export interface ResourceUpdate {
  /** What holds when it is done. */
  readonly limits: Limits
  /** For the OCI runtime; empty when there is nothing for it. */
  readonly resources: Resources
  /** What runtimes do not all update: huge pages, by control file. */
  readonly files: LimitValues
  /** Control files that may change. */
  readonly touched: ReadonlyArray<string>
}

const unset: Limits = {
  cpuPeriod: 0n,
  cpuQuota: 0n,
  cpuShares: 0n,
  memoryLimitInBytes: 0n,
  oomScoreAdj: 0n,
  cpusetCpus: "",
  cpusetMems: "",
  hugepageLimits: [],
  unified: {},
  memorySwapLimitInBytes: 0n
}

/** An entry per page size: the newer one counts, and of a page size 0 is a limit too. */
const mergeHugepages = (old: Limits["hugepageLimits"], newer: Limits["hugepageLimits"]): Limits["hugepageLimits"] => {
  const bySize = new Map([...old, ...newer].map((entry) => [entry.pageSize, { ...entry }]))
  return Array.from(bySize.values())
}

/** The score is given to a process at its start and stays with it. */
const merge = (old: Limits, newer: LinuxContainerResources): Limits => ({
  cpuPeriod: newer.cpuPeriod || old.cpuPeriod,
  cpuQuota: newer.cpuQuota || old.cpuQuota,
  cpuShares: newer.cpuShares || old.cpuShares,
  memoryLimitInBytes: newer.memoryLimitInBytes || old.memoryLimitInBytes,
  oomScoreAdj: old.oomScoreAdj,
  cpusetCpus: newer.cpusetCpus || old.cpusetCpus,
  cpusetMems: newer.cpusetMems || old.cpusetMems,
  hugepageLimits: mergeHugepages(old.hugepageLimits, newer.hugepageLimits),
  unified: { ...old.unified, ...newer.unified },
  memorySwapLimitInBytes: newer.memorySwapLimitInBytes || old.memorySwapLimitInBytes
})

/** Control files by what changes them. crun and runc write no others for these. */
const touchedBy = (version: 1 | 2, asked: LinuxContainerResources, hugepages: LimitValues): ReadonlyArray<string> => {
  const memory = asked.memoryLimitInBytes !== 0n || asked.memorySwapLimitInBytes !== 0n
  const pages = Object.keys(hugepages)
  const cpus = [
    ...(asked.cpusetCpus === "" ? [] : ["cpuset.cpus"]),
    ...(asked.cpusetMems === "" ? [] : ["cpuset.mems"])
  ]
  if (version === 1) {
    return [
      ...(asked.cpuShares === 0n ? [] : ["cpu.shares"]),
      ...(asked.cpuQuota === 0n ? [] : ["cpu.cfs_quota_us"]),
      ...(asked.cpuPeriod === 0n ? [] : ["cpu.cfs_period_us"]),
      ...cpus,
      ...(memory ? ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"] : []),
      ...pages
    ]
  }
  return [
    ...new Set([
      ...(asked.cpuShares === 0n ? [] : ["cpu.weight"]),
      ...(asked.cpuQuota === 0n && asked.cpuPeriod === 0n ? [] : ["cpu.max"]),
      ...cpus,
      ...(memory ? ["memory.max", "memory.swap.max"] : []),
      ...pages,
      ...Object.keys(asked.unified)
    ])
  ]
}

const hugepageFiles = (version: 1 | 2, limits: Limits["hugepageLimits"]): LimitValues =>
  Object.fromEntries(
    limits.map(({ pageSize, limit }) => [
      `hugetlb.${pageSize}.${version === 2 ? "max" : "limit_in_bytes"}`,
      limit.toString()
    ])
  )

export const planUpdate = (input: {
  readonly limits: Limits | null
  readonly requested: LinuxContainerResources
  /** Bytes: the handler's container_min_memory. */
  readonly minimumMemory: number
  readonly facts: Pick<HostFactsShape, "cgroupVersion" | "swapLimit" | "hugepages">
}): Result.Result<ResourceUpdate, Fault> =>
  Result.gen(function* () {
    const { requested, facts, minimumMemory } = input
    const badKey = Object.keys(requested.unified).find((key) => !/^[a-z]+(\.[A-Za-z0-9_-]+)+$/.test(key))
    if (badKey !== undefined) {
      return yield* invalid("linux.unified", `${JSON.stringify(badKey)} is not the name of a cgroup v2 file`)
    }
    if (facts.cgroupVersion === 1 && Object.keys(requested.unified).length > 0) {
      return yield* invalid("linux.unified", "this node has cgroup v1, which knows no unified keys")
    }
    const badSize = requested.hugepageLimits.find(({ pageSize }) => !/^[0-9]+[KMG]B$/.test(pageSize))
    if (badSize !== undefined) {
      return yield* invalid("linux.hugepage_limits", `${JSON.stringify(badSize.pageSize)} is not a page size as 2MB`)
    }
    const limits = merge(input.limits ?? unset, requested)
    // As a whole, so that memory and swap fit each other whichever of them is new.
    yield* resources({ requested: { ...limits, hugepageLimits: [] }, pidsLimit: 0, minimumMemory, facts })
    const ofMemory = requested.memoryLimitInBytes !== 0n || requested.memorySwapLimitInBytes !== 0n
    const changed = yield* resources({
      requested: {
        ...requested,
        hugepageLimits: [],
        ...(ofMemory && {
          memoryLimitInBytes: limits.memoryLimitInBytes,
          memorySwapLimitInBytes: limits.memorySwapLimitInBytes
        })
      },
      pidsLimit: 0,
      minimumMemory,
      facts
    })
    const files = facts.hugepages ? hugepageFiles(facts.cgroupVersion, requested.hugepageLimits) : {}
    return { limits, resources: changed, files, touched: touchedBy(facts.cgroupVersion, requested, files) }
  })
