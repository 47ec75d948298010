/** Capability sets (capabilities(7), config.md "Linux process"). */
import { Result } from "effect"
import type { Capability } from "../../gen/runtime/v1/api.ts"
import type { Capabilities } from "../../model/RuntimeSpec.ts"
import { type Fault, invalid } from "./fault.ts"

/** By number: the bit's place in the kernel's masks. */
export const capabilityNames: ReadonlyArray<string> = [
  ..."CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE".split(" "),
  ..."NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT".split(" "),
  ..."SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE".split(" "),
  ..."AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ".split(" "),
  ..."PERFMON BPF CHECKPOINT_RESTORE".split(" ")
].map((name) => `CAP_${name}`)

/** Names of the bits of a mask of /proc/PID/status. */
export const namesOfMask = (mask: bigint): ReadonlySet<string> =>
  new Set(capabilityNames.filter((_name, bit) => (mask >> BigInt(bit)) & 1n))

export interface CapabilityInput {
  readonly requested: Capability | undefined
  readonly privileged: boolean
  /** default_capabilities of the configuration, with or without "CAP_". */
  readonly defaults: ReadonlyArray<string>
  /** add_inheritable_capabilities of the configuration. */
  readonly inheritable: boolean
  /** What the daemon itself has: nobody can hand on more. */
  readonly available: ReadonlySet<string>
}

const fullName = (field: string, name: string): Result.Result<string, Fault> => {
  const upper = name.toUpperCase()
  const full = upper.startsWith("CAP_") ? upper : `CAP_${upper}`
  return capabilityNames.includes(full) ? Result.succeed(full) : invalid(field, `unknown capability ${name}`)
}

const fullNames = (field: string, names: ReadonlyArray<string>) =>
  Result.all(names.filter((name) => name.toUpperCase() !== "ALL").map((name) => fullName(field, name)))

const hasAll = (names: ReadonlyArray<string>) => names.some((name) => name.toUpperCase() === "ALL")

/**
 * ALL is taken first, single names over it, drops over adds. The inheritable set stays empty (CVE-2022-29162 and its
 * kin) but for ambient capabilities, which the kernel allows only where they are inheritable.
 */
export const capabilities = (input: CapabilityInput): Result.Result<Capabilities, Fault> =>
  Result.gen(function* () {
    const { requested } = input
    const added = requested?.addCapabilities ?? []
    const dropped = requested?.dropCapabilities ?? []
    const field = "linux.security_context.capabilities"

    const defaults = yield* fullNames("default_capabilities", input.defaults)
    const ambient = yield* fullNames(`${field}.add_ambient_capabilities`, requested?.addAmbientCapabilities ?? [])
    const additions = yield* fullNames(`${field}.add_capabilities`, added)
    const drops = yield* fullNames(`${field}.drop_capabilities`, dropped)

    const wanted = new Set(hasAll(dropped) ? [] : hasAll(added) ? capabilityNames : defaults)
    for (const name of [...additions, ...ambient]) wanted.add(name)
    for (const name of drops) wanted.delete(name)

    const granted = capabilityNames.filter(
      (name) => (input.privileged || wanted.has(name)) && input.available.has(name)
    )
    const ambientGranted = granted.filter((name) => ambient.includes(name))
    return {
      bounding: granted,
      effective: granted,
      permitted: granted,
      inheritable: input.inheritable ? granted : ambientGranted,
      ambient: ambientGranted
    }
  })
