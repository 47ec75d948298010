/** stats, statsp, metricsp, metricdescs: what pods and containers use, as crictl and the kubelet ask for it. */
import { existsSync, readFileSync } from "node:fs"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { eventually, names, type Site } from "./support/Site.ts"

const metricNames = readFileSync(new URL("../tools/specs/metric-names.txt", import.meta.url), "utf8")
  .trim()
  .split("\n")

const v2 = existsSync("/sys/fs/cgroup/cgroup.controllers")

/** Without values: devices that nobody accounts for, and what this machine's kernel or cgroups do not tell. */
const mayBeWithout = (name: string): boolean =>
  /^container_(blkio_|fs_(reads|writes)_)/.test(name) ||
  (name.startsWith("container_pressure_") && (!v2 || !existsSync("/proc/pressure"))) ||
  (name.startsWith("container_hugetlb_") && !v2 && !existsSync("/sys/fs/cgroup/hugetlb/cgroup.procs"))

interface Metric {
  readonly name: string
  readonly labelValues: ReadonlyArray<string>
  /** protobuf's JSON leaves a value of 0 out. */
  readonly value?: { readonly value?: string }
}

const mebibyte = 1 << 20

export const statisticsOfPods = (site: () => Site) =>
  describe("statistics", () => {
    let podId = ""
    let containerId = ""

    beforeAll(async () => {
      const { crictl, startOne, pod, container } = site()
      await crictl.ok("pull", names.busybox)
      const resources = {
        memory_limit_in_bytes: 64 * mebibyte,
        memory_swap_limit_in_bytes: 64 * mebibyte,
        cpu_period: 100_000,
        cpu_quota: 50_000,
        cpu_shares: 1024
      }
      const linux = { resources, security_context: { namespace_options: { network: 0, pid: 1, ipc: 0 } } }
      const work = "head -c 3000000 /dev/zero > /written; while :; do :; done & nc -l -p 999 & exec sleep 1000"
      const started = await startOne(pod("statistics"), container("main", work, { linux }))
      podId = started.podId
      containerId = started.containerId
      // The first measurement of a layer is kept for ten seconds.
      const size = () => crictl.exec(containerId, "stat -c %s /written")
      await eventually("the container has written", async () => (await size()) === "3000000")
    })
    afterAll(async () => {
      await site().crictl.ok("rmp", "--force", podId)
    })

    /** The lines of a table, which begins with clearing the screen. */
    const table = async (...parameters: ReadonlyArray<string>) =>
      (await site().crictl.ok(...parameters)).replace("\u001B[2J\u001B[H", "").split("\n")

    it("of containers: processor, memory, writable layer", async () => {
      const { stats: all } = await site().crictl.json("stats", "-o", "json", "--id", containerId)
      const [stats] = all
      assert.strictEqual(stats.attributes.id, containerId)
      assert.strictEqual(stats.attributes.metadata.name, "main")
      const value = (field: { readonly value: string } | undefined) => Number(field?.value)
      assert.isAbove(value(stats.cpu.usageCoreNanoSeconds), 1_000_000)
      assert.isAbove(Number(stats.cpu.timestamp), 1e18)
      const { memory } = stats
      assert.isAbove(value(memory.usageBytes), 0)
      assert.strictEqual(value(memory.workingSetBytes) + value(memory.availableBytes), 64 * mebibyte)
      assert.isAtMost(value(memory.workingSetBytes), value(memory.usageBytes))
      assert.isAbove(value(memory.pageFaults), 0)
      assert.isAbove(value(stats.writableLayer.usedBytes), 3_000_000)
      assert.isTrue(existsSync(stats.writableLayer.fsId.mountpoint))
      assert.isAbove(value(stats.writableLayer.inodesUsed), 0)
    })

    it("of containers as a table: half a core is half a core", async () => {
      const [heading = "", line = "", ...more] = await table("stats", "--id", containerId)
      assert.match(heading, /^CONTAINER\s+NAME\s+CPU %\s+MEM\s+DISK\s+INODES/)
      assert.deepStrictEqual(more, [])
      assert.isTrue(containerId.startsWith(line.split(/\s+/)[0] ?? "-"))
      // The quota is what the kernel makes of it; other work on this machine only takes from it.
      const percent = Number(line.split(/\s+/)[2])
      assert.isAbove(percent, 0)
      assert.isBelow(percent, 80)
    })

    it("of containers as filters ask for them", async () => {
      const { crictl } = site()
      const ids = async (...options: ReadonlyArray<string>) => {
        const { stats } = await crictl.json("stats", "-o", "json", ...options)
        return stats.map(({ attributes }: { attributes: { id: string } }) => attributes.id)
      }
      assert.include(await ids(), containerId)
      assert.deepStrictEqual(await ids("--pod", podId), [containerId])
      assert.deepStrictEqual(await ids("--id", containerId.slice(0, 13)), [containerId])
      assert.deepStrictEqual(await ids("--label", "none=such"), [])
    })

    it("of pods: their cgroup, their network, their containers", async () => {
      const { crictl, address } = site()
      // Something comes back from the gateway, whoever answers there.
      const gateway = (await address(podId)).replace(/\d+$/, "1")
      await crictl.exec(containerId, `nc -w 1 ${gateway} 9 < /dev/null || true`)
      const { stats } = await crictl.json("statsp", "-o", "json", "--id", podId)
      assert.strictEqual(stats.length, 1)
      const [{ attributes, linux }] = stats
      assert.strictEqual(attributes.id, podId)
      assert.strictEqual(attributes.metadata.name, "statistics")
      assert.isAbove(Number(linux.cpu.usageCoreNanoSeconds.value), 1_000_000)
      assert.isAbove(Number(linux.memory.workingSetBytes.value), 0)
      assert.isAtLeast(Number(linux.process.processCount.value), 3)
      assert.strictEqual(linux.network.defaultInterface.name, "eth0")
      assert.isAbove(Number(linux.network.defaultInterface.rxBytes.value), 0)
      assert.isAbove(Number(linux.network.defaultInterface.txBytes.value), 0)
      assert.deepStrictEqual(linux.network.interfaces, [])
      assert.deepStrictEqual(
        linux.containers.map((one: { attributes: { id: string } }) => one.attributes.id),
        [containerId]
      )
      assert.match((await table("statsp", "--id", podId))[0] ?? "", /^POD\s+POD ID\s+CPU %\s+MEM/)
      assert.deepStrictEqual((await crictl.json("statsp", "-o", "json", "--label", "app=none")).stats, [])
    })

    it("as metrics: a descriptor of each name, with its meaning and its labels", async () => {
      const { descriptors } = await site().crictl.json("metricdescs")
      assert.sameMembers(
        descriptors.map(({ name }: { name: string }) => name),
        metricNames
      )
      for (const { name, help, labelKeys } of descriptors) {
        assert.isNotEmpty(help, name)
        assert.isNotEmpty(labelKeys, name)
      }
    })

    it("as metrics: a value of each name, labelled as described", async () => {
      const { crictl, runtime } = site()
      const { descriptors } = await crictl.json("metricdescs")
      const keys = new Map<string, ReadonlyArray<string>>(
        descriptors.map(({ name, labelKeys }: { name: string; labelKeys: ReadonlyArray<string> }) => [name, labelKeys])
      )
      const { podMetrics } = await crictl.json("metricsp")
      const mine = podMetrics.find(({ podSandboxId }: { podSandboxId: string }) => podSandboxId === podId)
      assert.deepStrictEqual(
        mine.containerMetrics.map((one: { containerId: string }) => one.containerId),
        [containerId]
      )
      const metrics: ReadonlyArray<Metric> = [...mine.metrics, ...mine.containerMetrics[0].metrics]
      for (const { name, labelValues } of metrics) {
        assert.strictEqual(labelValues.length, keys.get(name)?.length, name)
        assert.strictEqual(labelValues[3], "statistics", name)
      }
      const there = new Set(metrics.map(({ name }) => name))
      const missing = metricNames.filter((name) => !there.has(name) && !mayBeWithout(name))
      assert.deepStrictEqual(missing, [])

      const value = (name: string) => {
        const found = metrics.find((metric) => metric.name === `container_${name}`)
        return Number(found?.value?.value ?? 0)
      }
      assert.strictEqual(value("processes"), 3, runtime)
      assert.isAtLeast(value("threads"), 3)
      assert.isAtLeast(value("sockets"), 1)
      assert.isAtLeast(value("file_descriptors"), 9)
      assert.strictEqual(value("ulimits_soft"), Number(await crictl.exec(containerId, "ulimit -n")))
      assert.strictEqual(value("spec_memory_limit_bytes"), 64 * mebibyte)
      assert.strictEqual(value("spec_cpu_quota"), 50_000)
      assert.isAbove(value("cpu_cfs_periods_total"), 0)
      assert.isAbove(value("fs_usage_bytes"), 3_000_000)
      assert.isAbove(value("fs_limit_bytes"), value("fs_usage_bytes"))
      assert.isAbove(value("network_receive_packets_total"), 0)
      assert.isAtMost(Math.abs(value("last_seen") - Date.now() / 1000), 60)
      assert.isAtMost(value("start_time_seconds"), value("last_seen"))
    })
  })
