/** What newer versions of critest ask of metrics, and what each value is. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { readFileSync } from "node:fs"
import type { Details } from "../../src/cgroup/Usage.ts"
import type { SettingsPatch } from "../../src/config/Settings.ts"
import { PodMetrics, type PodMetricSamples } from "../../src/stats/PodMetrics.ts"
import { containerOf, ended, type Host, hostOf, metricsLayer, podOf, usageOf } from "./support.ts"

/** A name a line: those that kubelet serves at /metrics/cadvisor (critest 1.37). */
const names = readFileSync(new URL("../conformance/tools/specs/metric-names.txt", import.meta.url), "utf8")
  .trim()
  .split("\n")

const limits = {
  cpuPeriod: 100_000n,
  cpuQuota: 20_000n,
  cpuShares: 1024n,
  memoryLimitInBytes: 67_108_864n,
  oomScoreAdj: 0n,
  cpusetCpus: "",
  cpusetMems: "",
  hugepageLimits: [],
  unified: { "memory.min": "4096" },
  memorySwapLimitInBytes: -1n
}

const running = { _tag: "Running", pid: 7, startTime: 1, startedAtNs: 3_000_000_000n } as const
const web = containerOf("pod", "web", running, { limits })
const pod = podOf("pod")

const line = (totalNs: bigint) => ({ totalNs, avg10: 0, avg60: 0, avg300: 0 })
const pressure = (seconds: bigint) => ({
  some: line(seconds * 1_000_000_000n),
  full: line((seconds + 1n) * 1_000_000_000n)
})

const usage = usageOf(9_900_000_000n, {
  swap: { usageBytes: 11n, limitBytes: undefined },
  pressure: { cpu: pressure(20n), memory: pressure(30n), io: pressure(40n) },
  tasks: 5n
})

const details: Details = {
  tasksLimit: 64n,
  cpu: {
    userNs: 6_000_000_000n,
    systemNs: 3_999_999_999n,
    periods: 8n,
    throttledPeriods: 2n,
    throttledNs: 1_500_000_000n
  },
  memory: {
    cacheBytes: 50n,
    kernelBytes: 70n,
    mappedFileBytes: 30n,
    maxUsageBytes: 1500n,
    limitHits: 8n,
    ownPageFaults: 3n,
    ownMajorPageFaults: 4n
  },
  hugepages: [{ pageSize: "2MB", usageBytes: 12n, maxUsageBytes: undefined }],
  io: [
    { major: 8, minor: 0, operation: "read", bytes: 4096n, count: 2n },
    { major: 8, minor: 0, operation: "write", bytes: 512n, count: 1n }
  ],
  oomKills: 1n
}

const makeHost = (): Host => {
  const host = hostOf(
    [pod, podOf("stopped", { state: { _tag: "NotReady", reason: "stopped" } })],
    [web, containerOf("pod", "vanished", running), containerOf("pod", "old", ended)]
  )
  host.usages.set("/p/web", usage)
  host.details.set("/p/web", details)
  const traffic = (bytes: bigint) => ({ bytes, packets: 2n, errors: 3n, dropped: 4n })
  const device = (name: string) => ({ name, received: traffic(100n), transmitted: traffic(200n) })
  host.traffic.set("/run/netns/pod", [device("lo"), device("eth0")])
  host.layers.set("web", { bytes: 4096n, inodes: 3n, atNs: 1n })
  host.processes.set("/p/web", [7, 8, 9])
  host.links.set("/proc/7/fd", ["/dev/null", "socket:[1]", "pipe:[2]"])
  host.links.set("/proc/8/fd", ["socket:[3]"])
  host.texts.set(
    "/proc/7/limits",
    "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024        4096        files\n"
  )
  return host
}

const all: SettingsPatch = { stats: { included_pod_metrics: ["all"] } }

const withMetrics = <A, E>(
  use: (metrics: PodMetrics["Service"]) => Effect.Effect<A, E>,
  patch: SettingsPatch = all,
  host = makeHost()
) =>
  Effect.gen(function* () {
    yield* TestClock.setTime(5000)
    return yield* Effect.flatMap(PodMetrics, use).pipe(Effect.provide(Layer.fresh(metricsLayer(host, patch))))
  })

const everything = (pods: ReadonlyArray<PodMetricSamples>) =>
  pods.flatMap(({ metrics, containers }) => [...metrics, ...containers.flatMap((one) => one.metrics)])

describe("descriptors", () => {
  it.effect("are those that kubelet knows, each with a help text and labels", () =>
    withMetrics(({ descriptors }) =>
      Effect.sync(() => {
        assert.sameMembers(
          descriptors.map(({ name }) => name),
          names
        )
        for (const { name, help, labelKeys } of descriptors) {
          assert.match(help, /^[A-Z].*\.$/, name)
          assert.deepStrictEqual(labelKeys.slice(0, 5), ["id", "image", "namespace", "pod", "container"], name)
          assert.strictEqual(new Set(labelKeys).size, labelKeys.length, name)
        }
      })
    )
  )

  it.effect("are of the groups that are included, and of what is always there", () =>
    Effect.gen(function* () {
      const included = (...groups: ReadonlyArray<"oom" | "network">) =>
        withMetrics(({ descriptors }) => Effect.succeed(descriptors.map(({ name }) => name)), {
          stats: { included_pod_metrics: groups }
        })
      assert.deepStrictEqual(yield* included(), ["container_last_seen"])
      assert.deepStrictEqual(yield* included("oom"), ["container_last_seen", "container_oom_events_total"])
      assert.strictEqual((yield* included("network")).length, 9)
    })
  )
})

describe("metrics", () => {
  it.effect("have a value of every name, labelled as described", () =>
    withMetrics((metrics) =>
      Effect.gen(function* () {
        const samples = everything(yield* metrics.pods)
        const keys = new Map(metrics.descriptors.map(({ name, labelKeys }) => [name, labelKeys]))
        assert.sameMembers([...new Set(samples.map(({ name }) => name))], names)
        for (const { name, labelValues } of samples)
          assert.strictEqual(labelValues.length, keys.get(name)?.length, name)
      })
    )
  )

  it.effect("are of pods that are ready and of containers that run", () =>
    withMetrics((metrics) =>
      Effect.gen(function* () {
        const pods = yield* metrics.pods
        assert.deepStrictEqual(
          pods.map(({ podId, containers }) => [podId, containers.map(({ containerId }) => containerId)]),
          [["pod", ["web"]]]
        )
      })
    )
  )

  it.effect("say what the kernel says", () =>
    withMetrics((metrics) =>
      Effect.gen(function* () {
        const [found] = yield* metrics.pods
        const shown = (samples: PodMetricSamples["metrics"]) =>
          samples.map(({ name, labelValues, value, type, timestampNs }) => {
            assert.strictEqual(timestampNs, 0n)
            assert.strictEqual(type, /(?<!inodes)_total$|failcnt$/.test(name) ? "counter" : "gauge", name)
            return `${[name.replace("container_", ""), ...labelValues.slice(5)].join(" ")} = ${value}`
          })
        assert.deepStrictEqual(found?.metrics[0]?.labelValues, ["pod", "", "default", "name-pod", "POD", "eth0"])
        assert.deepStrictEqual(shown(found?.metrics ?? []), [
          "network_receive_bytes_total eth0 = 100",
          "network_receive_packets_total eth0 = 2",
          "network_receive_packets_dropped_total eth0 = 4",
          "network_receive_errors_total eth0 = 3",
          "network_transmit_bytes_total eth0 = 200",
          "network_transmit_packets_total eth0 = 2",
          "network_transmit_packets_dropped_total eth0 = 4",
          "network_transmit_errors_total eth0 = 3"
        ])
        const container = found?.containers[0]?.metrics ?? []
        const labels = ["web", "registry.test/app:1", "default", "name-pod", "name-web"]
        assert.deepStrictEqual(container[0]?.labelValues, labels)
        assert.deepStrictEqual(shown(container), [
          "last_seen = 5",
          "fs_inodes_free = 40",
          "fs_inodes_total = 50",
          "fs_limit_bytes = 20",
          "fs_usage_bytes = 4096",
          "file_descriptors = 4",
          "processes = 2",
          "sockets = 2",
          "threads = 5",
          "threads_max = 64",
          "ulimits_soft max_open_files = 1024",
          "spec_cpu_period = 100000",
          "spec_cpu_shares = 1024",
          "spec_cpu_quota = 20000",
          "spec_memory_limit_bytes = 67108864",
          "spec_memory_reservation_limit_bytes = 4096",
          "spec_memory_swap_limit_bytes = 0",
          "start_time_seconds = 3",
          "cpu_user_seconds_total = 6",
          "cpu_system_seconds_total = 3",
          "cpu_usage_seconds_total total = 9",
          "cpu_cfs_periods_total = 8",
          "cpu_cfs_throttled_periods_total = 2",
          "cpu_cfs_throttled_seconds_total = 1",
          "fs_reads_bytes_total 8:0 = 4096",
          "fs_reads_total 8:0 = 2",
          "fs_writes_bytes_total 8:0 = 512",
          "fs_writes_total 8:0 = 1",
          "blkio_device_usage_total 8:0 8 0 read = 4096",
          "blkio_device_usage_total 8:0 8 0 write = 512",
          "hugetlb_usage_bytes 2MB = 12",
          "hugetlb_max_usage_bytes 2MB = 12",
          "memory_cache = 50",
          "memory_rss = 60",
          "memory_kernel_usage = 70",
          "memory_mapped_file = 30",
          "memory_swap = 11",
          "memory_failcnt = 8",
          "memory_usage_bytes = 100",
          "memory_max_usage_bytes = 1500",
          "memory_working_set_bytes = 80",
          "memory_failures_total pgfault container = 3",
          "memory_failures_total pgfault hierarchy = 5",
          "memory_failures_total pgmajfault container = 4",
          "memory_failures_total pgmajfault hierarchy = 2",
          "oom_events_total = 1",
          "pressure_cpu_stalled_seconds_total = 21",
          "pressure_cpu_waiting_seconds_total = 20",
          "pressure_memory_stalled_seconds_total = 31",
          "pressure_memory_waiting_seconds_total = 30",
          "pressure_io_stalled_seconds_total = 41",
          "pressure_io_waiting_seconds_total = 40"
        ])
      })
    )
  )

  it.effect("of groups that are not included are not read", () => {
    const host = makeHost()
    return withMetrics(
      (metrics) =>
        Effect.gen(function* () {
          const samples = everything(yield* metrics.pods)
          assert.deepStrictEqual([...new Set(samples.map(({ name }) => name))], ["container_last_seen"])
          assert.deepStrictEqual(host.reads, ["/p/web", "/p/vanished"])
        }),
      {},
      host
    )
  })

  it.effect("are read for each who asks, and once for those who ask together", () => {
    const host = makeHost()
    return withMetrics(
      (metrics) =>
        Effect.gen(function* () {
          yield* Effect.all([metrics.pods, metrics.pods], { concurrency: 2 })
          const once = host.reads.length
          yield* metrics.pods
          assert.strictEqual(host.reads.length, once * 2)
        }),
      all,
      host
    )
  })

  it.effect(
    "of a period are kept that long unless the host's time goes back, with the time at which they were read",
    () => {
      const host = makeHost()
      return withMetrics(
        (metrics) =>
          Effect.gen(function* () {
            const first = yield* metrics.pods
            assert.strictEqual(everything(first)[0]?.timestampNs, 5_000_000_000n)
            yield* TestClock.adjust("10 seconds")
            assert.strictEqual(yield* metrics.pods, first)
            yield* TestClock.adjust("10 seconds")
            assert.strictEqual(everything(yield* metrics.pods)[0]?.timestampNs, 25_000_000_000n)
            yield* TestClock.setTime(1000)
            assert.strictEqual(everything(yield* metrics.pods)[0]?.timestampNs, 1_000_000_000n)
          }),
        { stats: { included_pod_metrics: ["all"], collection_period: 10 } },
        host
      )
    }
  )

  it.effect("that the kernel does not tell are left out, the others told", () => {
    const host = makeHost()
    host.traffic.clear()
    host.processes.clear()
    host.usages.set("/p/web", usageOf(1n, { tasks: undefined, memory: undefined }))
    host.details.set("/p/web", {
      ...details,
      cpu: undefined,
      memory: undefined,
      hugepages: [],
      io: [],
      oomKills: undefined
    })
    return withMetrics(
      (metrics) =>
        Effect.gen(function* () {
          const told = new Set(everything(yield* metrics.pods).map(({ name }) => name))
          assert.deepStrictEqual(
            [...told].filter((name) => !/_(fs|spec)_/.test(name)),
            ["container_last_seen", "container_start_time_seconds", "container_cpu_usage_seconds_total"]
          )
        }),
      all,
      host
    )
  })
})
