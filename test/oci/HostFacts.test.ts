import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { HostFacts } from "../../src/oci/HostFacts.ts"
import { capabilityNames } from "../../src/oci/spec/capabilities.ts"
import { type FakeHost, fakeLinux } from "./fakeLinux.ts"

const read = (files: FakeHost["files"]) =>
  Effect.provide(HostFacts, Layer.provide(HostFacts.layer, fakeLinux({ files }).layer))

const directory = { kind: "directory" as const }

describe("HostFacts", () => {
  it.effect("of a container host on cgroup v1, from a daemon that lacks capabilities", () =>
    Effect.gen(function* () {
      const facts = yield* read({
        "/proc/self/status": "Name:\tnode\nCapBnd:\t000001fffeffffff\nSeccomp:\t0\n",
        "/proc/sys/kernel/cap_last_cap": "39\n",
        "/proc/self/oom_score_adj": "-17\n",
        "/proc/self/limits":
          "Limit                     Soft Limit           Hard Limit           Units     \nMax open files            1024                 20000                files     \nMax core file size        0                    unlimited            bytes     \n",
        "/proc/self/cgroup": "1:cpu:/x\n0::/\n",
        "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes": "1",
        "/sys/module/apparmor/parameters/enabled": "Y\n",
        "/proc/sys/user/max_user_namespaces": "96551\n",
        "/proc/sys/kernel/osrelease": "6.18.44-fc-v657\n"
      })
      const missing = ["CAP_SYS_RESOURCE", "CAP_CHECKPOINT_RESTORE"]
      assert.deepStrictEqual(
        [...facts.capabilities],
        capabilityNames.filter((name) => !missing.includes(name))
      )
      assert.deepStrictEqual(Array.from(facts.hardLimits), [
        ["RLIMIT_NOFILE", 20000n],
        ["RLIMIT_CORE", 18446744073709551615n]
      ])
      const { oomScoreAdj, cgroupVersion, swapLimit, hugepages, seccomp, apparmor, selinux, userNamespaces, kernel } =
        facts
      assert.deepStrictEqual(
        { oomScoreAdj, cgroupVersion, swapLimit, hugepages, seccomp, apparmor, selinux, userNamespaces, kernel },
        {
          oomScoreAdj: -17,
          cgroupVersion: 1,
          swapLimit: true,
          hugepages: false,
          seccomp: true,
          apparmor: true,
          selinux: false,
          userNamespaces: true,
          kernel: [6, 18]
        }
      )
    })
  )

  it.effect("of a host on cgroup v2 with SELinux and without seccomp", () =>
    Effect.gen(function* () {
      const facts = yield* read({
        "/proc/self/status": "CapBnd:\t000001ffffffffff\n",
        "/sys/fs/cgroup/cgroup.controllers": "cpu memory hugetlb\n",
        "/proc/self/cgroup": "0::/system.slice/cricket.service\n",
        "/sys/fs/cgroup/system.slice/cricket.service/memory.swap.max": "max",
        "/sys/fs/selinux/enforce": "1",
        "/sys/module/apparmor/parameters/enabled": "N\n"
      })
      const { cgroupVersion, swapLimit, hugepages, seccomp, apparmor, selinux } = facts
      assert.deepStrictEqual(
        { cgroupVersion, swapLimit, hugepages, seccomp, apparmor, selinux },
        { cgroupVersion: 2, swapLimit: true, hugepages: true, seccomp: false, apparmor: false, selinux: true }
      )
    })
  )

  it.effect("huge pages on cgroup v1: where the hierarchy is mounted, not where only its directory is", () =>
    Effect.gen(function* () {
      const unmounted = yield* read({ "/sys/fs/cgroup/hugetlb": directory })
      assert.isFalse(unmounted.hugepages)
      const mounted = yield* read({ "/sys/fs/cgroup/hugetlb/cgroup.procs": "1\n" })
      assert.isTrue(mounted.hugepages)
    })
  )

  it.effect("nothing readable: the daemon counts as not limited", () =>
    Effect.gen(function* () {
      const facts = yield* read({ "/sys": directory })
      assert.deepStrictEqual([...facts.capabilities], [...capabilityNames])
      assert.isTrue(facts.seccomp)
      assert.strictEqual(facts.cgroupVersion, 1)
    })
  )
})
