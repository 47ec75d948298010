/** `crictl update`: limits of containers, all or none of them. */
import { existsSync, readFileSync } from "node:fs"
import { assert, beforeAll, describe, it } from "vitest"
import type { Request } from "./support/Crictl.ts"
import { eventually, names, type Site } from "./support/Site.ts"

const mebibyte = 1 << 20

const limited = (resources: Request): Request => ({
  linux: { resources, security_context: { namespace_options: { network: 0, pid: 1, ipc: 0 } } }
})

const v2 = existsSync("/sys/fs/cgroup/cgroup.controllers")

export const limitsOfContainers = (site: () => Site) =>
  describe("limits", () => {
    beforeAll(async () => {
      await site().crictl.ok("pull", names.busybox)
    })

    /** What the kernel has: memory, quota and period in microseconds, shares or weight. */
    const held = async (containerId: string) => {
      const { info } = await site().crictl.json("inspect", containerId)
      const { cgroup } = info.resources.find(({ _tag }: { _tag: string }) => _tag === "Runtime")
      const read = (controller: string, file: string) =>
        readFileSync(`/sys/fs/cgroup${v2 ? "" : `/${controller}`}${cgroup}/${file}`, "utf8").trim()
      return v2
        ? { memory: read("", "memory.max"), cpu: read("", "cpu.max"), weight: read("", "cpu.weight") }
        : {
            memory: read("memory", "memory.limit_in_bytes"),
            cpu: `${read("cpu", "cpu.cfs_quota_us")} ${read("cpu", "cpu.cfs_period_us")}`,
            weight: read("cpu", "cpu.shares")
          }
    }
    const shown = async (containerId: string) =>
      (await site().crictl.json("inspect", containerId)).status.resources.linux

    const limits = { memory_limit_in_bytes: 64 * mebibyte, cpu_quota: 20_000, cpu_period: 100_000, cpu_shares: 512 }
    const start = (name: string, script = "exec sleep 1000") => {
      const { startOne, pod, container } = site()
      return startOne(pod(name), container("main", script, limited(limits)))
    }

    it("change while the container runs; what is not named stays", async () => {
      const { crictl } = site()
      const { podId, containerId } = await start("resized")
      const before = await held(containerId)
      assert.deepInclude(before, { memory: String(64 * mebibyte), cpu: "20000 100000" })
      await crictl.ok("update", "--memory", String(128 * mebibyte), containerId)
      assert.deepStrictEqual(await held(containerId), { ...before, memory: String(128 * mebibyte) })
      await crictl.ok("update", "--cpu-quota", "50000", "--cpu-share", "256", containerId)
      const after = await held(containerId)
      assert.deepInclude(after, { memory: String(128 * mebibyte), cpu: "50000 100000" })
      assert.notStrictEqual(after.weight, before.weight)
      assert.deepInclude(await shown(containerId), {
        memoryLimitInBytes: String(128 * mebibyte),
        cpuQuota: "50000",
        cpuPeriod: "100000",
        cpuShares: "256"
      })
      await crictl.ok("update", containerId)
      assert.deepStrictEqual(await held(containerId), after)
      // Smaller again: memory and swap have to go down together.
      await crictl.ok("update", "--memory", String(32 * mebibyte), containerId)
      assert.strictEqual((await held(containerId)).memory, String(32 * mebibyte))
      await crictl.ok("rmp", "--force", podId)
    })

    it("change before the start, and not after the end", async () => {
      const { crictl, pod, container } = site()
      const request = pod("resized-early")
      const podId = await crictl.runp(request)
      const id = await crictl.create(podId, container("main", "sleep 0.1", limited(limits)), request)
      await crictl.ok("update", "--memory", String(96 * mebibyte), id)
      assert.strictEqual((await held(id)).memory, String(96 * mebibyte))
      await crictl.ok("start", id)
      await eventually("it ends", async () => (await crictl.json("inspect", id)).status.state === "CONTAINER_EXITED")
      assert.match(
        await crictl.fails("update", "--memory", String(64 * mebibyte), id),
        /FailedPrecondition.*it is Exited/
      )
      assert.strictEqual((await shown(id)).memoryLimitInBytes, String(96 * mebibyte))
      await crictl.ok("rmp", "--force", podId)
    })

    it("are not set below what is in use, and nothing else of such a request is done", async () => {
      const { crictl } = site()
      // A shell variable of 24 MiB.
      const { podId, containerId } = await start(
        "resized-below",
        "x=$(head -c 25165824 /dev/zero | tr '\\0' x); touch /ready; while :; do sleep 1; done"
      )
      await eventually("it has its memory", () => crictl.exec(containerId, "cat /ready").then(() => true))
      const before = await held(containerId)
      const refusal = await crictl.fails(
        "update",
        "--memory",
        String(14 * mebibyte),
        "--cpu-quota",
        "70000",
        containerId
      )
      assert.match(refusal, /14680064 bytes are below the \d+ bytes that container [0-9a-f]{64} uses now/)
      assert.deepStrictEqual(await held(containerId), before)
      assert.deepInclude(await shown(containerId), { memoryLimitInBytes: String(64 * mebibyte), cpuQuota: "20000" })
      assert.strictEqual(await crictl.exec(containerId, "echo alive"), "alive")
      await crictl.ok("rmp", "--force", podId)
    })

    it("are as before when the kernel refuses a part of the change", async () => {
      const { crictl } = site()
      const { podId, containerId } = await start("resized-wrongly")
      const before = await held(containerId)
      const wrong = ["--memory", String(96 * mebibyte), "--cpu-quota", "70000", "--cpuset-cpus", "4000"]
      await crictl.fails("update", ...wrong, containerId)
      assert.deepStrictEqual(await held(containerId), before)
      assert.deepInclude(await shown(containerId), { memoryLimitInBytes: String(64 * mebibyte), cpuQuota: "20000" })
      await crictl.ok("update", "--cpu-quota", "70000", containerId)
      assert.strictEqual((await held(containerId)).cpu, "70000 100000")
      await crictl.ok("rmp", "--force", podId)
    })

    it("hold after a restart of the daemon", async () => {
      const { crictl, killAndRestart } = site()
      const { podId, containerId } = await start("resized-restart")
      await crictl.ok("update", "--memory", String(80 * mebibyte), containerId)
      await killAndRestart()
      assert.strictEqual((await shown(containerId)).memoryLimitInBytes, String(80 * mebibyte))
      assert.strictEqual((await held(containerId)).memory, String(80 * mebibyte))
      await crictl.ok("rmp", "--force", podId)
    })

    it("and the node's pod CIDR, which is taken note of", async () => {
      const { crictl, log } = site()
      await crictl.ok("update-runtime-config", "--pod-cidr", "10.200.7.0/24")
      await eventually("it is in the log", () => log().includes("the node's pod CIDR is 10.200.7.0/24"))
    })
  })
