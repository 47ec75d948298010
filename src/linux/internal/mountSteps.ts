/** One mount request as the mount(2) calls that it takes: the kernel does one thing per call and ignores the rest. */
import type { MountFlag, MountRequest } from "../Mounts.ts"

const MS_REMOUNT = 0x20
const MS_BIND = 0x1000
const MS_REC = 0x4000

const attributeFlags = { ro: 0x1, nosuid: 0x2, nodev: 0x4, noexec: 0x8 } as const
const propagationFlags = { unbindable: 1 << 17, private: 1 << 18, slave: 1 << 19, shared: 1 << 20 } as const

export interface MountStep {
  readonly flags: number
  /** A file system type is given only where a file system is mounted. */
  readonly type: string | null
  readonly data: string | null
}

const bits = (flags: ReadonlyArray<MountFlag>, table: Partial<Record<MountFlag, number>>): number =>
  flags.reduce((sum, flag) => sum | (table[flag] ?? 0), 0)

/**
 * A new mount first, then the attributes that a bind cannot take at once, then its propagation. Attributes of a
 * recursive bind hold for its top mount only, as with mount(8).
 */
export const mountSteps = ({ type, flags, data }: MountRequest): ReadonlyArray<MountStep> => {
  const attributes = bits(flags, attributeFlags)
  const propagation = bits(flags, propagationFlags)
  const recursive = flags.includes("rec") ? MS_REC : 0
  const bind = flags.includes("bind") ? MS_BIND : 0
  const bare = { type: null, data: null }
  const steps: Array<MountStep> = []
  if (flags.includes("remount")) {
    steps.push({ flags: MS_REMOUNT | bind | attributes, type: null, data: data === "" ? null : data })
  } else if (bind !== 0) {
    steps.push({ flags: MS_BIND | recursive, ...bare })
    if (attributes !== 0) steps.push({ flags: MS_REMOUNT | MS_BIND | attributes, ...bare })
  } else if (type !== "") {
    steps.push({ flags: attributes, type, data: data === "" ? null : data })
  }
  if (propagation !== 0) steps.push({ flags: propagation | recursive, ...bare })
  return steps
}

/** True when the first step makes a mount that has to go again if a later step fails. */
export const makesMount = ({ type, flags }: MountRequest): boolean =>
  !flags.includes("remount") && (flags.includes("bind") || type !== "")
