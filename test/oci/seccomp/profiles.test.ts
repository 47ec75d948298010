import { assert, describe, it } from "@effect/vitest"
import type { Seccomp } from "../../../src/model/RuntimeSpec.ts"
import { parseProfile } from "../../../src/oci/seccomp/profileFile.ts"
import { runtimeDefault } from "../../../src/oci/seccomp/runtimeDefault.ts"
import { type SeccompChoice, selectProfile } from "../../../src/oci/seccomp/selectProfile.ts"
import { families, namesOf, refused } from "../../../src/oci/seccomp/syscalls.ts"
import { outcome } from "../host.ts"

const none: ReadonlySet<string> = new Set()
const high = 1n << 32n

/** What the kernel's filter answers: the first rule that matches, else the default. Registers have 64 bits. */
const decide = (profile: Seccomp, name: string, ...args: ReadonlyArray<bigint>) => {
  const matching = profile.syscalls.filter(
    (rule) =>
      rule.names.includes(name) &&
      (rule.args ?? []).every(
        ({ index, op, value, valueTwo }) =>
          op === "SCMP_CMP_MASKED_EQ" && ((args[index] ?? 0n) & BigInt(value)) === BigInt(valueTwo ?? 0)
      )
  )
  const rule = matching[0]
  if (rule === undefined) return `errno ${profile.defaultErrnoRet}`
  return rule.action === "SCMP_ACT_ALLOW" ? "allow" : `errno ${rule.errnoRet}`
}

describe("RuntimeDefault", () => {
  const profile = runtimeDefault(none, "amd64")
  const EPERM = "errno 1"
  const ENOSYS = "errno 38"

  const each = (names: string) => names.split(/\s+/).map((name) => [name])
  it.each(
    each(`keyctl add_key request_key bpf perf_event_open kexec_load init_module mount umount2 pivot_root setns swapon reboot
      open_by_handle_at settimeofday chroot syslog quotactl sethostname`)
  )("%s is not permitted", (name) => assert.strictEqual(decide(profile, name), EPERM))
  it.each(
    each(`io_uring_setup io_uring_enter io_uring_register userfaultfd kexec_file_load fsopen open_tree move_mount kcmp iopl
      acct vhangup move_pages fanotify_init nfsservctl lookup_dcookie uselib ustat sysfs _sysctl create_module vm86 stime`)
  )("%s does not exist", (name) => assert.strictEqual(decide(profile, name), ENOSYS))

  it("every address family but AF_ALG and AF_VSOCK, whatever the upper half of the register holds", () => {
    for (let family = 0n; family < 64n; family++) {
      const expected = family === 38n || family === 40n ? EPERM : "allow"
      assert.strictEqual(decide(profile, "socket", family), expected, `family ${family}`)
      assert.strictEqual(decide(profile, "socket", family | high), expected, `family ${family} with high bits`)
    }
    assert.strictEqual(decide(profile, "socket", 64n), ENOSYS)
  })
  it("what it does not know does not exist, so that libcs fall back to what they did before", () => {
    for (const name of ["call_of_tomorrow", "restart_node"]) assert.strictEqual(decide(profile, name), ENOSYS)
  })
  it.each(["ptrace", "process_vm_readv", "mbind", "set_mempolicy", "fchmodat2", "futex_waitv"].map((name) => [name]))(
    "%s is for everybody",
    (name) => assert.strictEqual(decide(profile, name), "allow")
  )
  it("no two rules of a call that say different things hold for the same arguments", () => {
    const whole = profile.syscalls.filter(({ args }) => args === undefined).map(({ names }) => new Set(names))
    for (const { names, args } of profile.syscalls) {
      if (args === undefined) continue
      for (const name of names)
        assert.isFalse(
          whole.some((set) => set.has(name)),
          name
        )
    }
    assert.deepStrictEqual(
      [...(whole[0] ?? [])].filter((name) => whole[1]?.has(name)),
      []
    )
    for (const value of [0n, 8n, 17n, 0x40000n, 0x60008n, 0xffffffffn, 0x10000000n, 0x50000011n, 38n, 40n, 39n]) {
      for (const name of ["clone", "unshare", "personality", "socket"]) {
        const matching = profile.syscalls.filter(
          (rule) =>
            rule.names.includes(name) &&
            rule.args?.every((arg) => (value & BigInt(arg.value)) === BigInt(arg.valueTwo ?? 0))
        )
        assert.isAtMost(new Set(matching.map(({ action }) => action)).size, 1, `${name} ${value}`)
      }
    }
  })
  it("socketcall, which hides the family, is refused before libseccomp allows it for the sake of socket", () => {
    assert.strictEqual(decide(profile, "socketcall", 1n), EPERM)
    const first = (name: string) => profile.syscalls.findIndex(({ names }) => names.includes(name))
    assert.isBelow(first("socketcall"), first("socket"))
  })

  it("clone makes processes and threads, no namespaces; clone3 does not exist", () => {
    const SIGCHLD = 17n
    assert.strictEqual(decide(profile, "clone", SIGCHLD), "allow")
    assert.strictEqual(decide(profile, "clone", 0x3d0f00n), "allow")
    for (const bit of [17n, 25n, 26n, 27n, 28n, 29n, 30n]) {
      assert.strictEqual(decide(profile, "clone", SIGCHLD | (1n << bit)), EPERM)
      assert.strictEqual(decide(profile, "unshare", 1n << bit), EPERM)
    }
    assert.strictEqual(decide(profile, "unshare", 0x80n), EPERM)
    assert.strictEqual(decide(profile, "unshare", 0x400n), "allow")
    assert.strictEqual(decide(profile, "clone3", 0n), ENOSYS)
  })
  it("personality without ADDR_NO_RANDOMIZE", () => {
    assert.strictEqual(decide(profile, "personality", 0xffffffffn), "allow")
    assert.strictEqual(decide(profile, "personality", 0x40000n), EPERM)
  })

  it.each([
    ["CAP_SYS_ADMIN", "mount clone3 setns bpf unshare"],
    ["CAP_BPF", "bpf"],
    ["CAP_PERFMON", "perf_event_open"],
    ["CAP_SYSLOG", "syslog"],
    ["CAP_DAC_READ_SEARCH", "open_by_handle_at"],
    ["CAP_SYS_CHROOT", "chroot"],
    ["CAP_SYS_BOOT", "reboot"],
    ["CAP_SYS_MODULE", "init_module finit_module delete_module"],
    ["CAP_SYS_PACCT", "acct"],
    ["CAP_SYS_PTRACE", "pidfd_getfd kcmp"],
    ["CAP_SYS_RAWIO", "iopl ioperm"],
    ["CAP_SYS_TIME", "settimeofday clock_settime"],
    ["CAP_SYS_TTY_CONFIG", "vhangup"],
    ["CAP_SYS_NICE", "migrate_pages move_pages"]
  ])("%s allows %s", (capability, names) => {
    const widened = runtimeDefault(new Set([capability]), "amd64")
    for (const name of names.split(" ")) {
      assert.strictEqual(decide(widened, name, 0x10000000n), "allow", name)
      assert.notStrictEqual(decide(profile, name, 0x10000000n), "allow", name)
    }
  })

  it("architectures carry their 32-bit kin", () => {
    assert.deepStrictEqual(profile.architectures, ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"])
    const arm = runtimeDefault(none, "arm64")
    assert.deepStrictEqual(arm.architectures, ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"])
    assert.strictEqual(decide(arm, "arch_prctl"), ENOSYS)
    assert.strictEqual(decide(arm, "set_tls"), "allow")
  })
  it("names no system call twice for everybody", () => {
    const forEverybody = families.filter(({ capabilities, architecture }) => !capabilities && !architecture)
    const names = [...forEverybody.flatMap(({ names }) => namesOf(names)), ...namesOf(refused)]
    assert.deepStrictEqual(
      names.filter((name, index) => names.indexOf(name) !== index),
      []
    )
    assert.isTrue(names.every((name) => /^[a-z0-9_]+$/.test(name)))
  })
})

describe("parseProfile", () => {
  const context = { capabilities: new Set(["CAP_SYS_ADMIN"]), architecture: "amd64", kernel: [5, 10] } as const
  const parse = (value: unknown) =>
    outcome(parseProfile("f", "/p.json", typeof value === "string" ? value : JSON.stringify(value), context))
  const allow = (fields: object) => ({ action: "SCMP_ACT_ALLOW", ...fields })

  it("OCI's form stays as it is, with exact numbers", () =>
    assert.deepStrictEqual(
      parse(`{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"architectures":["SCMP_ARCH_X86_64"],"flags":["SECCOMP_FILTER_FLAG_LOG"],
        "syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":18446744073709551615,"valueTwo":0,"op":"SCMP_CMP_NE"}]}]}`),
      {
        defaultAction: "SCMP_ACT_ERRNO",
        defaultErrnoRet: 38,
        architectures: ["SCMP_ARCH_X86_64"],
        flags: ["SECCOMP_FILTER_FLAG_LOG"],
        syscalls: [
          {
            names: ["read"],
            action: "SCMP_ACT_ALLOW",
            args: [{ index: 0, value: 18446744073709551615n, valueTwo: 0, op: "SCMP_CMP_NE" }]
          }
        ]
      }
    ))

  it("Docker's form: conditions, nulls, archMap, the old name", () =>
    assert.deepStrictEqual(
      parse({
        defaultAction: "SCMP_ACT_ERRNO",
        archMap: [
          { architecture: "SCMP_ARCH_AARCH64", subArchitectures: ["SCMP_ARCH_ARM"] },
          { architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86"] }
        ],
        syscalls: [
          allow({ name: "old", args: null, comment: "", includes: {}, excludes: {} }),
          allow({ names: ["bpf"], includes: { caps: ["CAP_BPF"] } }),
          allow({ names: ["mount"], includes: { caps: ["CAP_SYS_ADMIN"] } }),
          allow({ names: ["clone"], excludes: { caps: ["CAP_SYS_ADMIN"] } }),
          allow({ names: ["arm"], includes: { arches: ["arm64"] } }),
          allow({ names: ["amd"], includes: { arches: ["amd64", "x32"] } }),
          allow({ names: ["notamd"], excludes: { arches: ["amd64"] } }),
          allow({ names: ["ptrace"], includes: { minKernel: "4.8" } }),
          allow({ names: ["future"], includes: { minKernel: "6.1" } })
        ]
      }),
      {
        defaultAction: "SCMP_ACT_ERRNO",
        architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        syscalls: ["old", "mount", "amd", "ptrace"].map((name) => ({
          names: [name],
          action: "SCMP_ACT_ALLOW" as const
        }))
      }
    ))

  it.each([
    "",
    "[]",
    "{",
    '{"defaultAction":"ALLOW"}',
    '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"action":"SCMP_ACT_KILL"}]}'
  ])("refuses %j and names the file", (text) => assert.match(String(parse(text)), /^invalid f: \/p\.json/))
})

describe("selectProfile", () => {
  const base = { profile: undefined, profilePath: "", privileged: false, privilegedProfile: "" }
  const profile = (profileType: 0 | 1 | 2, localhostRef = "") => ({ profile: { profileType, localhostRef } })
  const file = (field: string, path: string): SeccompChoice => ({ kind: "file", field, path })
  it.each<readonly [object, SeccompChoice]>([
    [{}, { kind: "unconfined" }],
    [{ profilePath: "runtime/default" }, { kind: "default" }],
    [{ profilePath: "localhost//a.json" }, file("linux.security_context.seccomp_profile_path", "/a.json")],
    [profile(0), { kind: "default" }],
    [{ ...profile(1), profilePath: "runtime/default" }, { kind: "unconfined" }],
    [profile(2, "/a.json"), file("linux.security_context.seccomp.localhost_ref", "/a.json")],
    [{ ...profile(0), privileged: true }, { kind: "unconfined" }],
    [{ ...profile(1), privileged: true, privilegedProfile: "/p" }, file("privileged_seccomp_profile", "/p")]
  ])("%j", (fields, expected) => assert.deepStrictEqual(outcome(selectProfile({ ...base, ...fields })), expected))
  it.each([profile(2, "a.json"), profile(2), { profilePath: "nonsense" }, { profilePath: "localhost/a.json" }])(
    "refuses %j",
    (fields) => assert.match(String(outcome(selectProfile({ ...base, ...fields }))), /^invalid /)
  )
})
