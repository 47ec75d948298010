/** Paths of /proc and /sys that a container does not see, or only reads. */
import type { LinuxContainerSecurityContext } from "../../gen/runtime/v1/api.ts"

/** What kubelet sends for procMount: Default; taken where a request has no security context at all. */
export const defaultMaskedPaths: ReadonlyArray<string> = [
  "/proc/asound",
  "/proc/acpi",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
  "/sys/devices/virtual/powercap"
]

export const defaultReadonlyPaths: ReadonlyArray<string> = [
  "/proc/bus",
  "/proc/fs",
  "/proc/irq",
  "/proc/sys",
  "/proc/sysrq-trigger"
]

export interface ConfinedPaths {
  readonly maskedPaths: ReadonlyArray<string>
  readonly readonlyPaths: ReadonlyArray<string>
}

/** As the request gives them: an empty list is procMount Unmasked. A privileged container has none. */
export const confinedPaths = (context: LinuxContainerSecurityContext | undefined): ConfinedPaths => {
  if (context === undefined) return { maskedPaths: defaultMaskedPaths, readonlyPaths: defaultReadonlyPaths }
  if (context.privileged) return { maskedPaths: [], readonlyPaths: [] }
  return { maskedPaths: context.maskedPaths, readonlyPaths: context.readonlyPaths }
}
