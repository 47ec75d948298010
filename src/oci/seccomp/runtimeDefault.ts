/**
 * The RuntimeDefault seccomp profile: the families of `syscalls.ts` and the calls whose arguments decide.
 *
 * What it does not allow does not exist (ENOSYS), but for what people shall be told is not permitted (EPERM): libcs try new
 * calls first and fall back to old ones only when the kernel seems to lack them. The same goes for what the node's libseccomp has no number for
 * and OCI runtimes leave out of the filter: fchmodat2, by which glibc changes modes, with libseccomp 2.5.4.
 */
import type { Seccomp, SeccompArgument, SeccompRule } from "../../model/RuntimeSpec.ts"
import { families, namesOf, refused } from "./syscalls.ts"

const EPERM = 1
const ENOSYS = 38

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET. */
const cloneNewFlag = [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]
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

const refuse = (names: ReadonlyArray<string>, ...args: ReadonlyArray<SeccompArgument>): SeccompRule => ({
  names,
  action: "SCMP_ACT_ERRNO",
  errnoRet: EPERM,
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

/** Rules with alternatives are one rule per alternative. */
const socketRules: ReadonlyArray<SeccompRule> = [
  ...blocksWithout([AF_ALG, AF_VSOCK], 0, familyLimit).map(([start, size]) =>
    allow(["socket"], masked(0, (int32 & ~(size - 1)) >>> 0, start))
  ),
  ...[AF_ALG, AF_VSOCK].map((family) => refuse(["socket"], masked(0, int32, family)))
]

/** PER_LINUX, PER_LINUX32, both with UNAME26, and the query. */
const personalities: ReadonlyArray<number> = [0x0, 0x8, 0x20000, 0x20008, 0xffffffff]

const ADDR_NO_RANDOMIZE = 0x40000
/** Set in the query, and in no persona. */
const queryBit = 0x80000000

const personalityRules: ReadonlyArray<SeccompRule> = [
  ...personalities.map((persona) => allow(["personality"], masked(0, int32, persona))),
  refuse(["personality"], masked(0, queryBit + ADDR_NO_RANDOMIZE, ADDR_NO_RANDOMIZE))
]

const withoutFlags = (name: string, flags: ReadonlyArray<number>): ReadonlyArray<SeccompRule> => [
  allow(
    [name],
    masked(
      0,
      flags.reduce((all, flag) => all + flag, 0),
      0
    )
  ),
  ...flags.map((flag) => refuse([name], masked(0, flag, flag)))
]

/**
 * Without CAP_SYS_ADMIN nobody makes namespaces: user namespaces would open most of the kernel to a container. clone3
 * hides its flags behind a pointer; it is in no list then, and ENOSYS makes libcs fall back to clone.
 */
const namespaceRules: ReadonlyArray<SeccompRule> = [
  ...withoutFlags("clone", cloneNewFlag),
  ...withoutFlags("unshare", [...cloneNewFlag, CLONE_NEWTIME])
]

export type Architecture = "amd64" | "arm64"

const architectures: Readonly<Record<Architecture, ReadonlyArray<string>>> = {
  amd64: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
  arm64: ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
}

/** `capabilities` are those that the container really gets ("CAP_…"). */
export const runtimeDefault = (capabilities: ReadonlySet<string>, architecture: Architecture): Seccomp => {
  const here = families.filter((family) => (family.architecture ?? architecture) === architecture)
  const allowed = new Set(
    here
      .filter((family) => family.capabilities?.some((name) => capabilities.has(name)) ?? true)
      .flatMap(({ names }) => namesOf(names))
  )
  const denied = namesOf(refused).filter((name) => !allowed.has(name))
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: ENOSYS,
    architectures: architectures[architecture],
    syscalls: [
      allow([...allowed]),
      // Before the rules for socket: libseccomp allows a socketcall that is not refused by then along with it.
      refuse(denied),
      ...socketRules,
      ...personalityRules,
      ...(capabilities.has("CAP_SYS_ADMIN") ? [] : namespaceRules)
    ]
  }
}
