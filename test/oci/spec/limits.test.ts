/** Capabilities, resource limits, sysctls, annotations. */
import { assert, describe, it } from "@effect/vitest"
import { annotations } from "../../../src/oci/spec/annotations.ts"
import { capabilities, capabilityNames, namesOfMask } from "../../../src/oci/spec/capabilities.ts"
import { oomScoreAdj, resources } from "../../../src/oci/spec/resources.ts"
import { rlimits } from "../../../src/oci/spec/rlimits.ts"
import { podSysctls } from "../../../src/oci/spec/sysctls.ts"
import { capability, containerResources } from "../requests.ts"
import { facts, outcome } from "../host.ts"

const withoutSysResource = new Set(capabilityNames.filter((name) => name !== "CAP_SYS_RESOURCE"))

describe("capabilities", () => {
  const base = {
    requested: undefined,
    privileged: false,
    defaults: ["KILL", "CHOWN"],
    inheritable: false,
    available: facts.capabilities
  }
  const sets = (bounding: ReadonlyArray<string>, ambient: ReadonlyArray<string> = [], inheritable = ambient) => ({
    bounding,
    effective: bounding,
    permitted: bounding,
    inheritable,
    ambient
  })
  const grant = (fields: Parameters<typeof capability>[0], rest: object = {}) =>
    outcome(capabilities({ ...base, requested: capability(fields), ...rest }))

  it("numbers are the kernel's", () => {
    assert.strictEqual(capabilityNames.length, 41)
    assert.deepStrictEqual([...namesOfMask(0xa80425fbn)].length, 14)
    assert.deepStrictEqual([...namesOfMask((1n << 21n) | (1n << 40n))], ["CAP_SYS_ADMIN", "CAP_CHECKPOINT_RESTORE"])
  })
  it("defaults, with an empty inheritable set", () =>
    assert.deepStrictEqual(outcome(capabilities(base)), sets(["CAP_CHOWN", "CAP_KILL"])))
  it("add and drop, with and without CAP_, in any case; drop wins", () =>
    assert.deepStrictEqual(
      grant({ addCapabilities: ["cap_sys_admin", "NET_RAW", "BPF"], dropCapabilities: ["KILL", "CAP_BPF"] }),
      sets(["CAP_CHOWN", "CAP_NET_RAW", "CAP_SYS_ADMIN"])
    ))
  it("ALL", () => {
    assert.deepStrictEqual(grant({ dropCapabilities: ["ALL"], addCapabilities: ["KILL"] }), sets(["CAP_KILL"]))
    assert.deepStrictEqual(
      grant({ addCapabilities: ["all"], dropCapabilities: ["SYS_ADMIN"] }),
      sets(capabilityNames.filter((name) => name !== "CAP_SYS_ADMIN"))
    )
  })
  it("ambient ones are inheritable too", () =>
    assert.deepStrictEqual(
      grant({ addAmbientCapabilities: ["NET_RAW"], dropCapabilities: ["ALL"] }),
      sets(["CAP_NET_RAW"], ["CAP_NET_RAW"])
    ))
  it("add_inheritable_capabilities", () =>
    assert.deepStrictEqual(
      grant({}, { inheritable: true }),
      sets(["CAP_CHOWN", "CAP_KILL"], [], ["CAP_CHOWN", "CAP_KILL"])
    ))
  it("privileged is everything that the daemon has", () => {
    assert.deepStrictEqual(grant({ dropCapabilities: ["KILL"] }, { privileged: true }), sets(capabilityNames))
    assert.deepStrictEqual(
      grant({}, { privileged: true, available: withoutSysResource }),
      sets([...withoutSysResource])
    )
    assert.deepStrictEqual(
      grant({ addCapabilities: ["SYS_RESOURCE"] }, { available: withoutSysResource }),
      sets(["CAP_CHOWN", "CAP_KILL"])
    )
  })
  it("unknown names are errors", () =>
    assert.strictEqual(
      grant({ addCapabilities: ["FLY"] }),
      "invalid linux.security_context.capabilities.add_capabilities: unknown capability FLY"
    ))
})

describe("rlimits", () => {
  const parse = (entries: ReadonlyArray<string>, mayRaise = false) =>
    outcome(rlimits(entries, facts.hardLimits, mayRaise))
  it("parses and caps at the daemon's own", () => {
    const entries = ["nofile=1024:1048576", "NPROC=5", "core=0:unlimited", "memlock=-1:-1"]
    const unlimited = 18446744073709551615n
    const free = [
      { type: "RLIMIT_NPROC", soft: 5n, hard: 5n },
      { type: "RLIMIT_CORE", soft: 0n, hard: unlimited },
      { type: "RLIMIT_MEMLOCK", soft: unlimited, hard: unlimited }
    ]
    assert.deepStrictEqual(parse(entries), [{ type: "RLIMIT_NOFILE", soft: 1024n, hard: 20000n }, ...free])
    assert.deepStrictEqual(parse(entries, true), [{ type: "RLIMIT_NOFILE", soft: 1024n, hard: 1048576n }, ...free])
  })
  it.each(["nofile", "nofile=2:1", "nofile=a", "no file=1"])("refuses %s", (entry) =>
    assert.match(String(parse([entry])), /^invalid default_ulimits: /)
  )
})

describe("resources", () => {
  const limits = (fields: Parameters<typeof containerResources>[0], host: object = {}, pidsLimit = -1) =>
    outcome(
      resources({
        requested: containerResources(fields),
        pidsLimit,
        minimumMemory: 500 * 1024,
        facts: { ...facts, ...host }
      })
    )
  const mebibyte = 1024n * 1024n

  it.each(["../memory.max", "memory", "cgroup.procs/x", "memory.max\n", ""])(
    "unified keys are files of cgroup v2: not %j",
    (key) => assert.match(String(limits({ unified: { [key]: "1" } })), /^invalid linux\.resources\.unified: /)
  )
  it("unified keys in use", () => {
    const unified = { "memory.high": "1", "hugetlb.2MB.max": "0", "io.bfq.weight": "1", "memory.swap.max": "max" }
    assert.deepStrictEqual(limits({ unified }), { unified })
  })
  it("0 and empty mean not set", () => assert.deepStrictEqual(limits({}), {}))
  it("everything on v2", () =>
    assert.deepStrictEqual(
      limits(
        {
          cpuShares: 2n,
          cpuQuota: -1n,
          cpuPeriod: 100000n,
          cpusetCpus: "0-1",
          cpusetMems: "0",
          memoryLimitInBytes: 64n * mebibyte,
          memorySwapLimitInBytes: 65n * mebibyte,
          hugepageLimits: [{ pageSize: "2MB", limit: 0n }],
          unified: { "memory.high": "60000000" }
        },
        {},
        100
      ),
      {
        pids: { limit: 100 },
        cpu: { shares: 2n, quota: -1n, period: 100000n, cpus: "0-1", mems: "0" },
        memory: { limit: 64n * mebibyte, swap: 65n * mebibyte },
        hugepageLimits: [{ pageSize: "2MB", limit: 0n }],
        unified: { "memory.high": "60000000" }
      }
    ))
  it("a memory limit without one for swap leaves no swap", () =>
    assert.deepStrictEqual(limits({ memoryLimitInBytes: mebibyte }), { memory: { limit: mebibyte, swap: mebibyte } }))
  it("leaves out what the host cannot do", () =>
    assert.deepStrictEqual(
      limits(
        { memoryLimitInBytes: mebibyte, hugepageLimits: [{ pageSize: "2MB", limit: 1n }], unified: { a: "b" } },
        { cgroupVersion: 1, swapLimit: false, hugepages: false }
      ),
      { memory: { limit: mebibyte } }
    ))
  it("refuses too little memory and a swap limit below the memory limit", () => {
    assert.match(String(limits({ memoryLimitInBytes: 4096n })), /memory limit 4096 too low; should be at least 512000/)
    assert.match(
      String(limits({ memoryLimitInBytes: 2n * mebibyte, memorySwapLimitInBytes: mebibyte })),
      /memory_swap_limit_in_bytes/
    )
  })
  it("oom_score_adj stays at or above the daemon's without CAP_SYS_RESOURCE", () => {
    const adjust = (value: bigint, capabilities = facts.capabilities) =>
      outcome(oomScoreAdj(containerResources({ oomScoreAdj: value }), { capabilities, oomScoreAdj: 10 }))
    assert.strictEqual(adjust(-998n), -998)
    assert.strictEqual(adjust(-998n, withoutSysResource), 10)
    assert.strictEqual(adjust(500n, withoutSysResource), 500)
    assert.match(String(adjust(1001n)), /is not between/)
    assert.isUndefined(outcome(oomScoreAdj(undefined, facts)))
  })
})

describe("podSysctls", () => {
  const base = { requested: {}, defaults: [], hostNetwork: false, hostIpc: false }
  const request = (requested: Record<string, string>, rest: object = {}) =>
    outcome(podSysctls({ ...base, requested, ...rest }))

  it("takes namespaced ones in both spellings, over the configuration's", () =>
    assert.deepStrictEqual(
      request(
        {
          "net.ipv4.ip_local_port_range": "1024 65000",
          "net/ipv4/conf/eth0.7/rp_filter": "0",
          "net.ipv4.conf.eth0/7.rp_filter": "1",
          "kernel.shm_rmid_forced": "1",
          "fs.mqueue.msg_max": "5"
        },
        { defaults: ["net.ipv4.ip_local_port_range=1 2", "kernel.sem=1 2 3 4"] }
      ),
      [
        { path: "net/ipv4/ip_local_port_range", value: "1024 65000" },
        { path: "kernel/sem", value: "1 2 3 4" },
        { path: "net/ipv4/conf/eth0.7/rp_filter", value: "1" },
        { path: "kernel/shm_rmid_forced", value: "1" },
        { path: "fs/mqueue/msg_max", value: "5" }
      ]
    ))
  it.each([
    ["kernel.shm_rmid_forced", "1+kernel.core_pattern=|/x"],
    ["kernel.shm_rmid_forced", "1\nkernel.core_pattern"],
    ["kernel.shm_rmid_forced", ""],
    ["kernel.shm_rmid_forced", " 1"],
    ["kernel.core_pattern", "x"],
    ["kernel.msgmax+kernel.core_pattern", "x"],
    ["net.ipv4/../../kernel/core_pattern", "x"],
    ["net/ipv4/../../kernel/core_pattern", "x"],
    ["net/../kernel/core_pattern", "x"],
    ["/proc/sys/net/ipv4/ip_forward", "1"],
    ["net", "1"],
    ["vm.swappiness", "1"]
  ])("refuses %s=%j", (name, value) => assert.match(String(request({ [name]: value })), /^invalid linux.sysctls: /))

  it("refuses the host's namespaces, and leaves out the configuration's", () => {
    assert.match(String(request({ "net.core.somaxconn": "1" }, { hostNetwork: true })), /the pod shares the host's/)
    assert.match(String(request({ "kernel.shmmax": "1" }, { hostIpc: true })), /the pod shares the host's/)
    const defaults = ["net.core.somaxconn=1", "kernel.shmmax=2"]
    assert.deepStrictEqual(request({}, { defaults, hostNetwork: true }), [{ path: "kernel/shmmax", value: "2" }])
  })
})

describe("annotations", () => {
  const own = { "io.kubernetes.cri-o.ContainerType": "container" }
  it("drops what has effects unless the handler allows it, and keeps our own", () =>
    assert.deepStrictEqual(
      annotations({
        requested: {
          "org.systemd.property.CPUQuota": "1",
          "run.oci.handler": "wasm",
          "run.oci.keep": "1",
          "io.kubernetes.cri-o.ContainerType": "sandbox",
          "io.kubernetes.cri-o.Anything": "x",
          "io.containers.trace-syscall": "of:/x",
          "example.com/plain": "yes"
        },
        defaults: { "example.com/plain": "default", "run.oci.default": "1" },
        allowed: ["run.oci.keep", "io.containers.trace-syscall"],
        own
      }),
      {
        "example.com/plain": "yes",
        "run.oci.default": "1",
        "run.oci.keep": "1",
        "io.containers.trace-syscall": "of:/x",
        ...own
      }
    ))
  it("__proto__ is a name like others", () => {
    const requested = JSON.parse('{"__proto__":"x"}') as Record<string, string>
    const result = annotations({ requested, defaults: {}, allowed: [], own })
    assert.strictEqual(Object.getPrototypeOf(result), Object.prototype)
    assert.isTrue(Object.hasOwn(result, "__proto__"))
  })
})
