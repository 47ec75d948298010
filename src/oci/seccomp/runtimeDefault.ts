/** The RuntimeDefault seccomp profile: the families of `syscalls.ts` and the calls whose arguments decide. */
import type { Seccomp, SeccompArgument, SeccompRule } from "../../model/RuntimeSpec.ts"
import { families, namesOf } from "./syscalls.ts"

const EPERM = 1
const ENOSYS = 38

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET. */
const cloneNewFlags = 0x7e020000
/** Not a bit of clone(2), where these bits name the exit signal. */
const CLONE_NEWTIME = 0x80

const AF_ALG = 38
const AF_VSOCK = 40
/** A power of two above every address family there is (AF_MAX is 46). */
const familyLimit = 64

/** The kernel looks at the lower half of an int, BPF at the whole register: only masked comparisons cannot be fooled. */
const int32 = 0xffffffff

const masked = (index: number, mask: number, value: number): SeccompArgument => ({
  index,
  value: mask,
  valueTwo: value,
  op: "SCMP_CMP_MASKED_EQ"
})

const allow = (names: ReadonlyArray<string>, ...args: ReadonlyArray<SeccompArgument>): SeccompRule => ({
  names,
  action: "SCMP_ACT_ALLOW",
  ...(args.length > 0 ? { args } : {})
})

/** Aligned blocks of numbers below `size` that leave out the excluded ones, each one masked comparison wide. */
const blocksWithout = (
  excluded: ReadonlyArray<number>,
  start: number,
  size: number
): ReadonlyArray<readonly [start: number, size: number]> => {
  if (!excluded.some((number) => number >= start && number < start + size)) return [[start, size]]
  if (size === 1) return []
  return [...blocksWithout(excluded, start, size / 2), ...blocksWithout(excluded, start + size / 2, size / 2)]
}

/**
 * Rules with alternatives are one rule per alternative. socketcall hides the address family behind a pointer, and
 * libseccomp would allow it along with socket: programs are told that it does not exist and take the direct calls,
 * which every kernel since 4.3 has.
 */
const socketRules: ReadonlyArray<SeccompRule> = [
  { names: ["socketcall"], action: "SCMP_ACT_ERRNO", errnoRet: ENOSYS },
  ...blocksWithout([AF_ALG, AF_VSOCK], 0, familyLimit).map(([start, size]) =>
    allow(["socket"], masked(0, (int32 & ~(size - 1)) >>> 0, start))
  )
]

/** PER_LINUX, PER_LINUX32, both with UNAME26, and the query. */
const personalities: ReadonlyArray<number> = [0x0, 0x8, 0x20000, 0x20008, 0xffffffff]

const personalityRules: ReadonlyArray<SeccompRule> = personalities.map((persona) =>
  allow(["personality"], masked(0, int32, persona))
)

/**
 * Without CAP_SYS_ADMIN nobody makes namespaces: user namespaces would open most of the kernel to a container. clone3
 * hides its flags behind a pointer; ENOSYS makes libcs fall back to clone.
 */
const namespaceRules: ReadonlyArray<SeccompRule> = [
  allow(["clone"], masked(0, cloneNewFlags, 0)),
  allow(["unshare"], masked(0, cloneNewFlags | CLONE_NEWTIME, 0)),
  { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: ENOSYS }
]

export type Architecture = "amd64" | "arm64"

const architectures: Readonly<Record<Architecture, ReadonlyArray<string>>> = {
  amd64: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
  arm64: ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
}

/** `capabilities` are those that the container really gets ("CAP_…"). */
export const runtimeDefault = (capabilities: ReadonlySet<string>, architecture: Architecture): Seccomp => {
  const allowed = families.filter(
    (family) =>
      (family.architecture ?? architecture) === architecture &&
      (family.capabilities === undefined || family.capabilities.some((name) => capabilities.has(name)))
  )
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: EPERM,
    architectures: architectures[architecture],
    syscalls: [
      allow([...new Set(allowed.flatMap(namesOf))]),
      ...socketRules,
      ...personalityRules,
      ...(capabilities.has("CAP_SYS_ADMIN") ? [] : namespaceRules)
    ]
  }
}
