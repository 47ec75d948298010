/** Resource limits by cgroup (config-linux.md "Control groups") from CRI's LinuxContainerResources: 0 and "" mean "not set". */
import { Result } from "effect"
import type { LinuxContainerResources } from "../../gen/runtime/v1/api.ts"
import type { Resources } from "../../model/RuntimeSpec.ts"
import type { HostFactsShape } from "../HostFacts.ts"
import { mayRaiseLimits } from "../HostFacts.ts"
import { type Fault, invalid } from "./fault.ts"

export interface ResourceInput {
  readonly requested: LinuxContainerResources | undefined
  /** Below 1: no limit. */
  readonly pidsLimit: number
  /** Bytes: a smaller memory limit is refused, since the runtime itself would not fit in it. */
  readonly minimumMemory: number
  readonly facts: Pick<HostFactsShape, "cgroupVersion" | "swapLimit" | "hugepages">
}

const someOf = <K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } =>
  value === undefined || value === 0n || value === "" ? {} : ({ [key]: value } as { readonly [P in K]: V })

const cpu = (requested: LinuxContainerResources): Resources["cpu"] => ({
  ...someOf("shares", requested.cpuShares),
  ...someOf("quota", requested.cpuQuota),
  ...someOf("period", requested.cpuPeriod),
  ...someOf("cpus", requested.cpusetCpus),
  ...someOf("mems", requested.cpusetMems)
})

/** Without a swap limit of its own a container with a memory limit gets no swap, as with the other runtimes. */
const memory = (
  requested: LinuxContainerResources,
  swapAccounted: boolean
): Result.Result<NonNullable<Resources["memory"]>, Fault> => {
  const limit = requested.memoryLimitInBytes
  const swap = requested.memorySwapLimitInBytes !== 0n ? requested.memorySwapLimitInBytes : limit
  if (limit > 0n && swap > 0n && swap < limit) {
    return invalid(
      "linux.resources.memory_swap_limit_in_bytes",
      `${swap} is below the memory limit of ${limit}: the value is memory plus swap`
    )
  }
  return Result.succeed({ ...someOf("limit", limit), ...(swapAccounted ? someOf("swap", swap) : {}) })
}

// A file of the container's own cgroup (cgroups(7)): nothing that leads to another one.
const unifiedKey = /^[a-z0-9_]+(\.[A-Za-z0-9_]+)+$/

const isEmpty = (value: object | undefined) => value === undefined || Object.keys(value).length === 0

/** Device rules are added by the caller. `unified` exists on cgroup v2 only, huge pages where the controller is. */
export const resources = (input: ResourceInput): Result.Result<Resources, Fault> =>
  Result.gen(function* () {
    const { requested, facts } = input
    const pids = input.pidsLimit > 0 ? { pids: { limit: input.pidsLimit } } : {}
    if (requested === undefined) return pids
    const limit = requested.memoryLimitInBytes
    if (limit < 0n) return yield* invalid("linux.resources.memory_limit_in_bytes", `${limit} is negative`)
    if (limit > 0n && limit < BigInt(input.minimumMemory)) {
      return yield* invalid(
        "linux.resources.memory_limit_in_bytes",
        `memory limit ${limit} too low; should be at least ${input.minimumMemory} bytes`
      )
    }
    const unified = facts.cgroupVersion === 2 ? requested.unified : {}
    const stray = Object.keys(unified).find((key) => !unifiedKey.test(key))
    if (stray !== undefined) {
      return yield* invalid("linux.resources.unified", `${JSON.stringify(stray)} is not a file of cgroup v2`)
    }
    const memoryLimits = yield* memory(requested, facts.swapLimit)
    const cpuLimits = cpu(requested)
    const hugepageLimits = requested.hugepageLimits.map(({ pageSize, limit }) => ({ pageSize, limit }))
    return {
      ...pids,
      ...(isEmpty(cpuLimits) ? {} : { cpu: cpuLimits }),
      ...(isEmpty(memoryLimits) ? {} : { memory: memoryLimits }),
      ...(facts.hugepages && hugepageLimits.length > 0 ? { hugepageLimits } : {}),
      ...(isEmpty(unified) ? {} : { unified: { ...unified } })
    }
  })

/** The kernel refuses a value below the daemon's own to whoever lacks CAP_SYS_RESOURCE (proc_pid_oom_score_adj(5)). */
export const oomScoreAdj = (
  requested: LinuxContainerResources | undefined,
  facts: Pick<HostFactsShape, "capabilities" | "oomScoreAdj">
): Result.Result<number | undefined, Fault> => {
  if (requested === undefined) return Result.succeed(undefined)
  const value = Number(requested.oomScoreAdj)
  if (value < -1000 || value > 1000) {
    return invalid("linux.resources.oom_score_adj", `${value} is not between -1000 and 1000`)
  }
  return Result.succeed(mayRaiseLimits(facts) ? value : Math.max(value, facts.oomScoreAdj))
}
