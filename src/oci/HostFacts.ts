/** What this host and the daemon's own privileges allow: read once, so that specifications ask for nothing else. */
import { Context, Effect, Layer, Option } from "effect"
import { Files } from "../linux/Files.ts"
import { capabilityNames, namesOfMask } from "./spec/capabilities.ts"
import type { HardLimits } from "./spec/rlimits.ts"
import { unlimited } from "./spec/rlimits.ts"

export interface HostFactsShape {
  /** Capabilities of the daemon's bounding set that the kernel knows, as "CAP_…". */
  readonly capabilities: ReadonlySet<string>
  /** Without CAP_SYS_RESOURCE nobody gets a lower value than this. */
  readonly oomScoreAdj: number
  readonly hardLimits: HardLimits
  readonly cgroupVersion: 1 | 2
  /** The cgroup controllers account swap and huge pages. */
  readonly swapLimit: boolean
  readonly hugepages: boolean
  readonly seccomp: boolean
  readonly apparmor: boolean
  readonly selinux: boolean
  /** The kernel has user namespaces, and the host allows some. */
  readonly userNamespaces: boolean
  /** Go's name of the processor, as seccomp profiles use it. */
  readonly architecture: "amd64" | "arm64"
  /** Kernel release as [major, minor]. */
  readonly kernel: readonly [number, number]
}

export const mayRaiseLimits = (facts: Pick<HostFactsShape, "capabilities">): boolean =>
  facts.capabilities.has("CAP_SYS_RESOURCE")

/** Names of /proc/PID/limits (proc_pid_limits(5)). */
const limitTypes: ReadonlyMap<string, string> = new Map([
  ["Max cpu time", "RLIMIT_CPU"],
  ["Max file size", "RLIMIT_FSIZE"],
  ["Max data size", "RLIMIT_DATA"],
  ["Max stack size", "RLIMIT_STACK"],
  ["Max core file size", "RLIMIT_CORE"],
  ["Max resident set", "RLIMIT_RSS"],
  ["Max processes", "RLIMIT_NPROC"],
  ["Max open files", "RLIMIT_NOFILE"],
  ["Max locked memory", "RLIMIT_MEMLOCK"],
  ["Max address space", "RLIMIT_AS"],
  ["Max file locks", "RLIMIT_LOCKS"],
  ["Max pending signals", "RLIMIT_SIGPENDING"],
  ["Max msgqueue size", "RLIMIT_MSGQUEUE"],
  ["Max nice priority", "RLIMIT_NICE"],
  ["Max realtime priority", "RLIMIT_RTPRIO"],
  ["Max realtime timeout", "RLIMIT_RTTIME"]
])

const hardLimits = (text: string): HardLimits => {
  const limits = new Map<string, bigint>()
  for (const line of text.split("\n")) {
    const [name = "", , hard = ""] = line.split(/\s{2,}/)
    const type = limitTypes.get(name)
    if (type === undefined || hard === "") continue
    limits.set(type, /^\d+$/.test(hard) ? BigInt(hard) : unlimited)
  }
  return limits
}

const capabilitySet = (status: string, last: string): ReadonlySet<string> => {
  const mask = /^CapBnd:\s*([0-9a-f]+)/m.exec(status)?.[1]
  const known = capabilityNames.slice(0, /^\d+/.test(last) ? Number.parseInt(last, 10) + 1 : undefined)
  const own = mask === undefined ? new Set(capabilityNames) : namesOfMask(BigInt(`0x${mask}`))
  return new Set(known.filter((name) => own.has(name)))
}

const kernelRelease = (text: string): readonly [number, number] => {
  const match = /^(\d+)\.(\d+)/.exec(text)
  return [Number(match?.[1] ?? 0), Number(match?.[2] ?? 0)]
}

/** Said once at start: afterwards every container is cut silently and in the same way. */
const logCuts = Effect.fnUntraced(function* (facts: HostFactsShape, knownCapabilities: ReadonlyArray<string>) {
  const missing = knownCapabilities.filter((name) => !facts.capabilities.has(name))
  if (missing.length > 0) {
    yield* Effect.logWarning(`the daemon lacks ${missing.join(", ")}: no container gets them, privileged ones included`)
  }
  if (!mayRaiseLimits(facts)) {
    yield* Effect.logWarning(
      `the daemon lacks CAP_SYS_RESOURCE: containers' oom_score_adj is not set below ${facts.oomScoreAdj} and their resource limits are capped at the daemon's own`
    )
  }
  if (facts.cgroupVersion === 1) yield* Effect.logInfo("cgroup v1: what pods say of files of cgroup v2 has no effect")
  if (!facts.hugepages) yield* Effect.logInfo("no hugetlb controller: limits of huge pages have no effect")
  if (!facts.seccomp) yield* Effect.logWarning("the kernel has no seccomp: containers run without a system call filter")
})

export class HostFacts extends Context.Service<HostFacts, HostFactsShape>()("cricket/oci/HostFacts") {
  /** What cannot be read counts as absent on the host, and as not limited for the daemon. */
  static readonly layer = Layer.effect(
    HostFacts,
    Effect.gen(function* () {
      const files = yield* Files
      const text = (path: string) => Effect.orElseSucceed(files.readText(path), () => "")
      const exists = (path: string) => Effect.map(Effect.option(files.stat(path)), Option.isSome)

      const status = yield* text("/proc/self/status")
      const last = yield* text("/proc/sys/kernel/cap_last_cap")
      const unifiedControllers = yield* text("/sys/fs/cgroup/cgroup.controllers")
      const cgroupVersion = unifiedControllers === "" ? 1 : 2
      const ownCgroup = /^0::(\/.*)$/m.exec(yield* text("/proc/self/cgroup"))?.[1] ?? "/"
      const facts: HostFactsShape = {
        capabilities: capabilitySet(status, last),
        oomScoreAdj: Number.parseInt(yield* text("/proc/self/oom_score_adj"), 10) || 0,
        hardLimits: hardLimits(yield* text("/proc/self/limits")),
        cgroupVersion,
        // The root cgroup has no memory.swap.max: the daemon's own shows whether the kernel keeps it.
        swapLimit: yield* cgroupVersion === 2
          ? exists(`/sys/fs/cgroup${ownCgroup}/memory.swap.max`)
          : exists("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"),
        // On v1 the directory is also there where the hierarchy is not mounted.
        hugepages:
          cgroupVersion === 2
            ? unifiedControllers.split(/\s+/).includes("hugetlb")
            : yield* exists("/sys/fs/cgroup/hugetlb/cgroup.procs"),
        seccomp: status === "" || /^Seccomp:/m.test(status),
        apparmor: (yield* text("/sys/module/apparmor/parameters/enabled")).startsWith("Y"),
        selinux: yield* exists("/sys/fs/selinux/enforce"),
        userNamespaces: Number(yield* text("/proc/sys/user/max_user_namespaces")) > 0,
        architecture: process.arch === "arm64" ? "arm64" : "amd64",
        kernel: kernelRelease(yield* text("/proc/sys/kernel/osrelease"))
      }
      yield* logCuts(facts, Array.from(capabilitySet("", last)))
      return facts
    })
  )
}
