/** From a table of [crio.runtime.runtimes.*] to the handler that this host can use, or the reason why it cannot. */
import { Effect, Result } from "effect"
import { Files } from "../../linux/Files.ts"
import type { Processes } from "../../linux/Processes.ts"
import { HostFacts, type HostFactsShape } from "../HostFacts.ts"
import { RuntimeHandlerInvalid } from "../OciError.ts"
import type { RuntimeEntry, RuntimeFeatures, RuntimeHandler, RuntimeProgram, RuntimeTable } from "../RuntimeHandlers.ts"
import { largestProfile, parseProfile } from "../seccomp/profileFile.ts"
import { openAdvisories, probeRuntime, untestedBecause } from "./runtimeProbe.ts"
import { findProgram } from "./searchPath.ts"

/**
 * `mount_setattr` with AT_RECURSIVE (Linux 5.12) makes read-only what lies below a mount too. Idmapped mounts are as old,
 * but an overlay takes them as its layers since Linux 5.19.
 */
const withKernel = (features: RuntimeFeatures, facts: HostFactsShape): RuntimeFeatures => {
  const [major, minor] = facts.kernel
  const isSince = (minorOf5: number) => major > 5 || (major === 5 && minor >= minorOf5)
  return {
    recursiveReadOnlyMounts: features.recursiveReadOnlyMounts && isSince(12),
    userNamespaces: features.userNamespaces && facts.userNamespaces && isSince(19)
  }
}

const inherited = (table: RuntimeTable, entry: RuntimeEntry): RuntimeEntry => {
  const source = table.runtimes[table.default_runtime]
  if (!entry.inherit_default_runtime || source === undefined) return entry
  const { runtime_path, runtime_root, runtime_type } = source
  // A default without a path of its own is found by its name, not by the heir's.
  return {
    ...entry,
    runtime_path: runtime_path === "" ? table.default_runtime : runtime_path,
    runtime_root,
    runtime_type
  }
}

const defaultSlice = "system.slice"

/** The default of all handlers is a slice; without systemd it stands for the daemon's own cgroup, as an empty one does. */
export const monitorCgroupOf = (
  { cgroup_manager, conmon_cgroup }: Pick<RuntimeTable, "cgroup_manager" | "conmon_cgroup">,
  { monitor_cgroup }: Pick<RuntimeEntry, "monitor_cgroup">
): Result.Result<string, string> => {
  const wanted = conmon_cgroup === "" ? monitor_cgroup : conmon_cgroup
  if (cgroup_manager === "systemd") return Result.succeed(wanted === "" ? defaultSlice : wanted)
  if (wanted === "" || wanted === defaultSlice) return Result.succeed("")
  if (wanted === "pod") return Result.succeed(wanted)
  return Result.fail(`monitor_cgroup ${wanted} is a slice of systemd, but cgroup_manager is cgroupfs: set "pod" or ""`)
}

/** A program that can be used, or why it cannot. Warns of what is known of it. */
const program = Effect.fnUntraced(function* (subject: string, wanted: string, remedy: string) {
  const path = yield* findProgram(wanted)
  if (path === undefined) return Result.fail(`${wanted} is not an executable file; ${remedy}`)
  const probed = yield* probeRuntime(path)
  if (Result.isFailure(probed)) return Result.fail(probed.failure)
  const probe = probed.success
  const untested = untestedBecause(probe.kind, probe.version)
  if (untested !== undefined) yield* Effect.logWarning(`${subject}: ${path} ${probe.version} ${untested}`)
  const advisories = openAdvisories(probe.kind, probe.version)
  if (advisories.length > 0) {
    yield* Effect.logWarning(
      `${subject}: ${path} ${probe.version} is open to ${advisories.join("; ")} unless your distribution has patched it`
    )
  }
  const features = withKernel(probe.features, yield* HostFacts)
  const found: RuntimeProgram = { kind: probe.kind, path, version: probe.version, features }
  const can = [
    ...(features.userNamespaces ? ["user namespaces"] : []),
    ...(features.recursiveReadOnlyMounts ? ["recursive read-only mounts"] : [])
  ]
  const source = probe.stated ? "features" : "version"
  yield* Effect.logInfo(
    `${subject}: ${path} ${probe.version}, by its ${source} with ${can.length === 0 ? "no optional feature" : can.join(" and ")}`
  )
  return Result.succeed(found)
})

const platformProgram = Effect.fnUntraced(function* (
  handler: string,
  platform: string,
  path: string
): Effect.fn.Return<readonly [string, RuntimeProgram | string], never, Files | Processes | HostFacts> {
  const subject = `runtime handler ${handler}, platform_runtime_paths ${platform}`
  const found = yield* program(subject, path, "install it or take it out of platform_runtime_paths")
  if (Result.isSuccess(found)) return [platform, found.success]
  yield* Effect.logWarning(`${subject}: ${found.failure}; containers of images for ${platform} are refused`)
  return [platform, found.failure]
})

/** Why it cannot be what RuntimeDefault stands for; undefined when it can. A container reads it anew. */
const seccompFault = Effect.fnUntraced(function* (path: string) {
  if (path === "") return undefined
  const { architecture, kernel } = yield* HostFacts
  const text = yield* Effect.result((yield* Files).readText(path, { maxBytes: largestProfile }))
  if (Result.isFailure(text)) return `seccomp_profile ${path} cannot be read: ${text.failure.code}`
  const parsed = parseProfile("seccomp_profile", path, text.success, { capabilities: new Set(), architecture, kernel })
  return Result.isFailure(parsed) ? `seccomp_profile: ${parsed.failure.reason}` : undefined
})

export const resolveHandler = Effect.fnUntraced(function* (
  table: RuntimeTable,
  name: string,
  configured: RuntimeEntry
) {
  const options = inherited(table, configured)
  const refuse = (reason: string) => new RuntimeHandlerInvalid({ handler: name, reason })
  if (options.runtime_type !== "oci") {
    return yield* refuse(`runtime_type ${options.runtime_type} is not built; only "oci" is`)
  }
  if (options.stream_websockets) {
    return yield* refuse(
      'stream_websockets is of runtime_type "pod", which is not built; WebSocket needs no option here'
    )
  }
  const monitorCgroup = monitorCgroupOf(table, options)
  if (Result.isFailure(monitorCgroup)) return yield* refuse(monitorCgroup.failure)

  const seccomp = yield* seccompFault(options.seccomp_profile)
  if (seccomp !== undefined) return yield* refuse(seccomp)
  if (table.cgroup_manager === "systemd" && monitorCgroup.success !== defaultSlice) {
    yield* Effect.logWarning(
      `runtime handler ${name}: monitor_cgroup ${monitorCgroup.success} has no effect with cgroup_manager systemd; conmon stays in the daemon's cgroup`
    )
  }

  const wanted = options.runtime_path === "" ? name : options.runtime_path
  const found = yield* program(`runtime handler ${name}`, wanted, "install it or set runtime_path")
  if (Result.isFailure(found)) return yield* refuse(found.failure)
  const { kind } = found.success
  const platforms = yield* Effect.forEach(Object.entries(options.platform_runtime_paths), ([platform, path]) =>
    platformProgram(name, platform, path)
  )
  const handler: RuntimeHandler = {
    ...found.success,
    name,
    root: options.runtime_root === "" ? `/run/${kind === "other" ? name : kind}` : options.runtime_root,
    options: {
      ...options,
      monitor_cgroup: monitorCgroup.success,
      monitor_path: table.conmon === "" ? options.monitor_path : table.conmon,
      monitor_env: table.conmon_env.length === 0 ? options.monitor_env : table.conmon_env
    },
    platforms: new Map(platforms)
  }
  return handler
})
