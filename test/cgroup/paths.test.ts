import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { parseCount, parseKeyed, parseLimit, parseOwnCgroups, parseProcesses } from "../../src/cgroup/internal/files.ts"
import { parseMountInfo } from "../../src/cgroup/internal/hierarchies.ts"
import { type CgroupManager, containerCgroup, expandSlice, monitorCgroup } from "../../src/cgroup/paths.ts"

describe("containerCgroup", () => {
  const cases: ReadonlyArray<readonly [CgroupManager, string, string, string]> = [
    ["cgroupfs", "/kubepods/burstable/podX", "/kubepods/burstable/podX/crio-1", "/kubepods/burstable/podX/crio-1"],
    ["cgroupfs", "pods", "/pods/crio-1", "/pods/crio-1"],
    ["cgroupfs", "", "/crio/crio-1", "/crio/crio-1"],
    [
      "systemd",
      "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podX.slice",
      "kubepods-burstable-podX.slice:crio:1",
      "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podX.slice/crio-1.scope"
    ],
    [
      "systemd",
      "kubepods-podX.slice",
      "kubepods-podX.slice:crio:1",
      "/kubepods.slice/kubepods-podX.slice/crio-1.scope"
    ],
    ["systemd", "", "system.slice:crio:1", "/system.slice/crio-1.scope"]
  ]
  it.each(cases)("%s %s", (manager, parent, cgroupsPath, path) => {
    assert.deepStrictEqual(Result.getOrThrow(containerCgroup(manager, parent, "1")), { cgroupsPath, path })
  })

  it.each([
    ["cgroupfs", "/kubepods.slice/kubepods-podX.slice", /cgroup_manager is cgroupfs/],
    ["systemd", "/kubepods/podX", /cgroup_manager is systemd/],
    ["systemd", "/a--b.slice", /no systemd slice/],
    ["cgroupfs", "/a/../../b", /without \.\./],
    ["systemd", "/../a.slice", /without \.\./]
  ] as const)("refuses for %s the parent %s", (manager, parent, reason) => {
    const result = containerCgroup(manager, parent, "1")
    if (Result.isSuccess(result)) return assert.fail("accepted")
    assert.match(result.failure.message, reason)
    assert.include(result.failure.message, parent)
  })

  it("expands slices as systemd nests them", () => {
    assert.deepStrictEqual(
      ["-.slice", "a.slice", "a-b-c.slice", "a", "-a.slice", "a-.slice", ".slice", "a/b.slice"].map(expandSlice),
      ["/", "/a.slice", "/a.slice/a-b.slice/a-b-c.slice", undefined, undefined, undefined, undefined, undefined]
    )
  })
})

describe("monitorCgroup", () => {
  const parent = { cgroupsPath: "/kubepods/pod1/crio-c1", path: "/kubepods/pod1/crio-c1" }
  it("lies beside the container's where the pod's is asked for", () => {
    assert.strictEqual(monitorCgroup("cgroupfs", parent, "c1", "pod"), "/kubepods/pod1/crio-conmon-c1")
    assert.isUndefined(monitorCgroup("cgroupfs", parent, "c1", ""))
    for (const wanted of ["pod", "system.slice"]) assert.isUndefined(monitorCgroup("systemd", parent, "c1", wanted))
  })
})

describe("mountinfo", () => {
  const line = (point: string, type: string, options: string) =>
    `30 23 0:28 / ${point} rw,relatime shared:1 - ${type} x ${options}`

  it("knows v2", () => {
    const hierarchies = parseMountInfo(
      [line("/sys/fs/cgroup", "cgroup2", "rw,nsdelegate"), line("/", "ext4", "rw")].join("\n")
    )
    assert.deepStrictEqual(hierarchies, { version: 2, controllers: new Map(), mounts: ["/sys/fs/cgroup"] })
  })

  it("treats hybrid mounts as v1 and removes from the unified one too", () => {
    const hierarchies = parseMountInfo(
      [
        line("/sys/fs/cgroup/cpu,cpuacct", "cgroup", "rw,cpu,cpuacct"),
        line("/sys/fs/cgroup/a\\040b", "cgroup", "rw,memory"),
        line("/sys/fs/cgroup/systemd", "cgroup", "rw,name=systemd"),
        line("/sys/fs/cgroup/unified", "cgroup2", "rw")
      ].join("\n")
    )
    assert.strictEqual(hierarchies?.version, 1)
    assert.strictEqual(hierarchies?.controllers.get("cpuacct"), "/sys/fs/cgroup/cpu,cpuacct")
    assert.strictEqual(hierarchies?.controllers.get("memory"), "/sys/fs/cgroup/a b")
    assert.deepStrictEqual(hierarchies?.mounts.length, 4)
  })

  it("says when there is none", () => {
    assert.isUndefined(parseMountInfo(line("/", "ext4", "rw")))
  })
})

describe("cgroup files", () => {
  it("are read leniently", () => {
    assert.deepStrictEqual(["max\n", "4096\n", "9223372036854771712\n", "9223372036854710272\n"].map(parseLimit), [
      undefined,
      4096n,
      undefined,
      undefined
    ])
    assert.strictEqual(parseCount("12\n"), 12n)
    assert.strictEqual(parseKeyed("oom 1\noom_kill 2\n", "oom_kill"), 2n)
    assert.strictEqual(parseKeyed("oom 1\n", "oom_kill"), 0n)
    assert.deepStrictEqual(parseProcesses("0\n12\n\n13\n"), [12, 13])
  })

  it("of a process name its place in each hierarchy", () => {
    assert.deepStrictEqual(parseOwnCgroups("9:name=systemd:/a:b\n3:cpu,cpuacct:/\n0::/c\n"), [
      { controllers: ["name=systemd"], path: "/a:b" },
      { controllers: ["cpu", "cpuacct"], path: "/" },
      { controllers: [], path: "/c" }
    ])
  })
})
