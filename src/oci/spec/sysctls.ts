/** Sysctls of a pod: only what a namespace of the pod's own holds, spelled so that nothing else can hide in them. */
import { Result } from "effect"
import { type Fault, invalid } from "./fault.ts"

export interface SysctlInput {
  /** CRI LinuxPodSandboxConfig.sysctls; names with dots or slashes. */
  readonly requested: Readonly<Record<string, string>>
  /** default_sysctls of the configuration: "name=value". */
  readonly defaults: ReadonlyArray<string>
  readonly hostNetwork: boolean
  readonly hostIpc: boolean
}

/** `path` is below /proc/sys ("net/ipv4/ip_forward"). */
export interface Sysctl {
  readonly path: string
  readonly value: string
}

const namePattern = /^[a-z0-9](?:[-_a-z0-9]*[a-z0-9])?(?:[./][a-z0-9](?:[-_a-z0-9]*[a-z0-9])?)+$/
// One or more words or numbers: no control bytes, no "+" or "=" that a parser further on might take for another
// setting (CVE-2022-0811).
const valuePattern = /^[A-Za-z0-9_.,:/-]+(?:[ \t][A-Za-z0-9_.,:/-]+)*$/

const ipcNames: ReadonlySet<string> = new Set([
  "kernel/msgmax",
  "kernel/msgmnb",
  "kernel/msgmni",
  "kernel/sem",
  "kernel/shmall",
  "kernel/shmmax",
  "kernel/shmmni",
  "kernel/shm_rmid_forced"
])

const namespaceOf = (path: string): "network" | "ipc" | undefined =>
  path.startsWith("net/") ? "network" : path.startsWith("fs/mqueue/") || ipcNames.has(path) ? "ipc" : undefined

/** The first separator of a name decides: in "net/ipv4/conf/eth0.7/x" dots are part of the names, else they part them. */
const toPath = (name: string): string => {
  const separator = /[./]/.exec(name)?.[0]
  return separator === "/" ? name : name.replaceAll(/[./]/g, (found) => (found === "." ? "/" : "."))
}

const check = (field: string, name: string, value: string): Result.Result<Sysctl, Fault> => {
  const path = toPath(name)
  if (!namePattern.test(name)) {
    return invalid(field, `${JSON.stringify(name)} is not a sysctl's name`)
  }
  if (!valuePattern.test(value)) {
    return invalid(field, `value ${JSON.stringify(value)} of ${name} has characters that no sysctl needs`)
  }
  return namespaceOf(path) === undefined
    ? invalid(field, `${name} is not namespaced: setting it would change the host`)
    : Result.succeed({ path, value })
}

const isHosts = (path: string, input: SysctlInput): boolean =>
  namespaceOf(path) === "network" ? input.hostNetwork : input.hostIpc

/** The request's over the configuration's. Those of the configuration that would reach the host are left out. */
export const podSysctls = (input: SysctlInput): Result.Result<ReadonlyArray<Sysctl>, Fault> =>
  Result.gen(function* () {
    const values = new Map<string, string>()
    for (const entry of input.defaults) {
      const equals = entry.indexOf("=")
      const { path, value } = yield* check(
        "default_sysctls",
        entry.slice(0, Math.max(0, equals)).trim(),
        entry.slice(equals + 1).trim()
      )
      if (!isHosts(path, input)) values.set(path, value)
    }
    for (const [name, requested] of Object.entries(input.requested)) {
      const { path, value } = yield* check("linux.sysctls", name, requested)
      if (isHosts(path, input)) {
        return yield* invalid("linux.sysctls", `${name} would change the host: the pod shares the host's namespace`)
      }
      values.set(path, value)
    }
    return Array.from(values, ([path, value]) => ({ path, value }))
  })
