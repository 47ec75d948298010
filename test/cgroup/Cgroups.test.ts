import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { Cgroups } from "../../src/cgroup/Cgroups.ts"
import { Files } from "../../src/linux/Files.ts"

/** A directory with files as the kernel would show them, and a mountinfo that points into it. */
const recorded = (version: 1 | 2, content: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const root = fs.mkdtempSync(join(tmpdir(), "cricket-cgroup-"))
      for (const [path, text] of Object.entries(content)) {
        fs.mkdirSync(dirname(join(root, path)), { recursive: true })
        fs.writeFileSync(join(root, path), text)
      }
      const mount = (point: string, type: string, options: string) =>
        `1 1 0:1 / ${join(root, point)} rw - ${type} x ${options}\n`
      const mounts =
        version === 2
          ? mount("", "cgroup2", "rw")
          : ["memory", "pids", "freezer", "cpuacct", "cpu", "blkio", "hugetlb"]
              .map((name) => mount(name, "cgroup", `rw,${name}`))
              .join("")
      fs.writeFileSync(join(root, "mountinfo"), mounts)
      return root
    }),
    (root) => Effect.sync(() => fs.rmSync(root, { recursive: true }))
  )

const withTree = <A, E>(
  version: 1 | 2,
  content: Readonly<Record<string, string>>,
  use: (cgroups: Cgroups["Service"], root: string) => Effect.Effect<A, E>
) =>
  Effect.gen(function* () {
    const root = yield* recorded(version, content)
    const layer = Cgroups.layerFrom(join(root, "mountinfo")).pipe(Layer.provide(Files.layer))
    return yield* Effect.flatMap(Cgroups, (cgroups) => use(cgroups, root)).pipe(Effect.provide(layer))
  }).pipe(Effect.scoped)

const nobody = () => Effect.void

/** As of Linux 6.18 and 6.12, with the values that matter. */
const recordedV1 = {
  "memory/p/c/memory.usage_in_bytes": "1000\n",
  "memory/p/c/memory.limit_in_bytes": "9223372036854771712\n",
  "memory/p/c/memory.stat":
    "cache 1\nrss 2\npgfault 3\npgmajfault 4\ninactive_file 1\ntotal_cache 50\ntotal_rss 200\ntotal_mapped_file 30\ntotal_swap 40\ntotal_pgfault 5\ntotal_pgmajfault 6\ntotal_inactive_file 300\n",
  "memory/p/c/memory.memsw.limit_in_bytes": "9223372036854771712\n",
  "memory/p/c/memory.kmem.usage_in_bytes": "70\n",
  "memory/p/c/memory.max_usage_in_bytes": "1500\n",
  "memory/p/c/memory.failcnt": "8\n",
  "memory/p/c/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
  "cpuacct/p/c/cpuacct.usage": "123456789\n",
  "cpuacct/p/c/cpuacct.stat": "user 12\nsystem 3\n",
  "cpu/p/c/cpu.stat": "nr_periods 20\nnr_throttled 5\nthrottled_time 1500000000\nnr_bursts 0\nburst_time 0\n",
  "blkio/p/c/blkio.throttle.io_service_bytes_recursive":
    "8:0 Read 4096\n8:0 Write 0\n8:0 Total 4096\n253:1 Write 512\nTotal 4608\n",
  "blkio/p/c/blkio.throttle.io_serviced_recursive": "8:0 Read 2\n8:0 Write 0\n8:0 Total 2\nTotal 2\n",
  "hugetlb/p/c/hugetlb.2MB.usage_in_bytes": "2097152\n",
  "hugetlb/p/c/hugetlb.2MB.max_usage_in_bytes": "4194304\n",
  "hugetlb/p/c/hugetlb.2MB.rsvd.usage_in_bytes": "9\n",
  "pids/p/c/pids.current": "4\n",
  "pids/p/c/pids.max": "64\n",
  "pids/p/c/cgroup.procs": "10\n11\n",
  "pids/p/c/inner/cgroup.procs": "12\n11\n",
  "pids/p/cgroup.procs": ""
}

const recordedV2 = {
  "c.scope/memory.current": "1000\n",
  "c.scope/memory.max": "2000\n",
  "c.scope/memory.peak": "1800\n",
  "c.scope/memory.stat":
    "anon 200\nfile 600\nkernel 70\nkernel_stack 1\nfile_mapped 30\ninactive_file 1300\npgfault 5\npgmajfault 6\n",
  "c.scope/memory.swap.current": "40\n",
  "c.scope/memory.swap.max": "100\n",
  "c.scope/memory.events": "low 0\nhigh 0\nmax 8\noom 1\noom_kill 2\n",
  "c.scope/memory.pressure":
    "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=3\n",
  "c.scope/cpu.stat":
    "usage_usec 77\nuser_usec 70\nsystem_usec 7\nnr_periods 20\nnr_throttled 5\nthrottled_usec 1500\n",
  "c.scope/cpu.pressure": "some avg10=1.50 avg60=0.20 avg300=0.03 total=9\n",
  "c.scope/io.stat": "8:0 rbytes=4096 wbytes=512 rios=2 wios=1 dbytes=0 dios=0\n",
  "c.scope/hugetlb.1GB.current": "1073741824\n",
  "c.scope/hugetlb.1GB.rsvd.current": "9\n",
  "c.scope/pids.current": "1\n",
  "c.scope/pids.max": "max\n",
  "c.scope/cgroup.procs": "7\n"
}

const line = (totalNs: bigint) => ({ totalNs, avg10: 0, avg60: 0, avg300: 0 })

describe("readers", () => {
  it.live("v1", () =>
    withTree(1, recordedV1, (cgroups) =>
      Effect.gen(function* () {
        assert.strictEqual(cgroups.version, 1)
        const usage = {
          cpuTimeNs: 123_456_789n,
          memory: {
            usageBytes: 1000n,
            workingSetBytes: 700n,
            limitBytes: undefined,
            rssBytes: 200n,
            pageFaults: 5n,
            majorPageFaults: 6n
          },
          swap: { usageBytes: 40n, limitBytes: undefined },
          pressure: { cpu: undefined, memory: undefined, io: undefined },
          tasks: 4n
        }
        assert.deepStrictEqual(yield* cgroups.usage(["p/c", "/gone"]), [usage, undefined])
        assert.deepStrictEqual(yield* cgroups.usageInDetail("/p/c"), {
          usage,
          details: {
            tasksLimit: 64n,
            cpu: {
              userNs: 120_000_000n,
              systemNs: 30_000_000n,
              periods: 20n,
              throttledPeriods: 5n,
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
            hugepages: [{ pageSize: "2MB", usageBytes: 2_097_152n, maxUsageBytes: 4_194_304n }],
            io: [
              { major: 8, minor: 0, operation: "read", bytes: 4096n, count: 2n },
              { major: 8, minor: 0, operation: "write", bytes: 0n, count: 0n },
              { major: 8, minor: 0, operation: "total", bytes: 4096n, count: 2n },
              { major: 253, minor: 1, operation: "write", bytes: 512n, count: 0n }
            ],
            oomKills: 3n
          }
        })
        assert.deepStrictEqual(yield* cgroups.processes("/p"), [10, 11, 12])
      })
    )
  )

  it.live("v2", () =>
    withTree(2, recordedV2, (cgroups) =>
      Effect.gen(function* () {
        assert.strictEqual(cgroups.version, 2)
        const usage = {
          cpuTimeNs: 77_000n,
          memory: {
            usageBytes: 1000n,
            workingSetBytes: 0n,
            limitBytes: 2000n,
            rssBytes: 200n,
            pageFaults: 5n,
            majorPageFaults: 6n
          },
          swap: { usageBytes: 40n, limitBytes: 100n },
          pressure: {
            cpu: { some: { totalNs: 9000n, avg10: 1.5, avg60: 0.2, avg300: 0.03 }, full: line(0n) },
            memory: { some: line(7000n), full: line(3000n) },
            io: undefined
          },
          tasks: 1n
        }
        assert.deepStrictEqual(yield* cgroups.usage(["/gone", "/c.scope"]), [undefined, usage])
        assert.deepStrictEqual(yield* cgroups.usageInDetail("/c.scope"), {
          usage,
          details: {
            tasksLimit: undefined,
            cpu: { userNs: 70_000n, systemNs: 7000n, periods: 20n, throttledPeriods: 5n, throttledNs: 1_500_000n },
            memory: {
              cacheBytes: 600n,
              kernelBytes: 70n,
              mappedFileBytes: 30n,
              maxUsageBytes: 1800n,
              limitHits: 8n,
              ownPageFaults: 5n,
              ownMajorPageFaults: 6n
            },
            hugepages: [{ pageSize: "1GB", usageBytes: 1_073_741_824n, maxUsageBytes: undefined }],
            io: [
              { major: 8, minor: 0, operation: "read", bytes: 4096n, count: 2n },
              { major: 8, minor: 0, operation: "write", bytes: 512n, count: 1n },
              { major: 8, minor: 0, operation: "discard", bytes: 0n, count: 0n }
            ],
            oomKills: 2n
          }
        })
        assert.deepStrictEqual(yield* cgroups.processes("/c.scope"), [7])
      })
    )
  )

  it.live("v1: swap alone is what its common limit with memory leaves; without swap there is none", () => {
    const { "memory/p/c/memory.memsw.limit_in_bytes": _both, ...withoutSwap } = recordedV1
    const limited = {
      ...recordedV1,
      "memory/p/c/memory.limit_in_bytes": "2000\n",
      "memory/p/c/memory.memsw.limit_in_bytes": "2500\n"
    }
    const swap = (tree: Readonly<Record<string, string>>) =>
      withTree(1, tree, (cgroups) => Effect.map(cgroups.usage(["/p/c"]), ([usage]) => usage?.swap))
    return Effect.gen(function* () {
      assert.deepStrictEqual(yield* swap(limited), { usageBytes: 40n, limitBytes: 500n })
      assert.isUndefined(yield* swap(withoutSwap))
    })
  })

  it.live("v2: an older kernel's memory is summed up, and what it does not tell is left out", () =>
    withTree(
      2,
      { "c/memory.current": "9\n", "c/memory.stat": "kernel_stack 1\npagetables 2\npercpu 3\nslab 4\n" },
      (cgroups) =>
        Effect.gen(function* () {
          const found = yield* cgroups.usageInDetail("/c")
          assert.strictEqual(found?.details.memory?.kernelBytes, 10n)
          assert.isUndefined(found?.details.memory?.maxUsageBytes)
          assert.isUndefined(found?.details.cpu)
          assert.isUndefined(found?.details.oomKills)
          assert.isUndefined(found?.usage.cpuTimeNs)
          assert.deepStrictEqual([found?.details.hugepages, found?.details.io], [[], []])
        })
    )
  )

  it.live("a cgroup that is not there uses nothing, the root and .. are refused", () =>
    withTree(1, { "pids/x": "", "memory/x": "", "freezer/x": "" }, (cgroups) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* cgroups.usage(["/gone"]), [undefined])
        assert.deepStrictEqual(yield* cgroups.usage([]), [])
        assert.isUndefined(yield* cgroups.usageInDetail("/gone"))
        assert.strictEqual((yield* Effect.flip(cgroups.usage(["/a/../.."])))._tag, "CgroupError")
        for (const path of ["/", "", "/a/../..", "."]) {
          assert.strictEqual((yield* Effect.flip(cgroups.remove(path)))._tag, "CgroupError", path)
        }
      })
    )
  )
})

describe("freezing and killing", () => {
  it.live("v1: frozen, every process signalled, thawed", () =>
    withTree(
      1,
      {
        "freezer/c/freezer.state": "THAWED\n",
        "pids/c/cgroup.procs": "10\n11\n",
        "pids/c/inner/cgroup.procs": "12\n"
      },
      (cgroups, root) =>
        Effect.gen(function* () {
          const state = join(root, "freezer/c/freezer.state")
          const killed: Array<readonly [number, string]> = []
          yield* cgroups.killAll("/c", (pid) =>
            Effect.sync(() => {
              killed.push([pid, fs.readFileSync(state, "utf8").slice(0, 6)])
              if (pid === 12) {
                fs.writeFileSync(join(root, "pids/c/cgroup.procs"), "")
                fs.writeFileSync(join(root, "pids/c/inner/cgroup.procs"), "")
              }
            })
          )
          assert.deepStrictEqual(killed, [
            [10, "FROZEN"],
            [11, "FROZEN"],
            [12, "FROZEN"]
          ])
          assert.match(fs.readFileSync(state, "utf8"), /^THAWED/)
        })
    )
  )

  it.live("v2: one write kills the tree", () =>
    withTree(2, { "c/cgroup.procs": "10\n", "c/cgroup.kill": "" }, (cgroups, root) =>
      Effect.gen(function* () {
        const emptied = Effect.delay(
          Effect.sync(() => fs.writeFileSync(join(root, "c/cgroup.procs"), "")),
          50
        )
        const dead = cgroups.killAll("/c", () => Effect.die("v2 signals nobody itself"))
        yield* Effect.all([dead, emptied], { concurrency: 2 })
        assert.strictEqual(fs.readFileSync(join(root, "c/cgroup.kill"), "utf8"), "1")
      })
    )
  )

  it.live("v2: waits until the kernel reports the state", () =>
    withTree(2, { "c/cgroup.freeze": "0", "c/cgroup.events": "populated 1\nfrozen 0\n" }, (cgroups, root) =>
      Effect.gen(function* () {
        const kernel = Effect.delay(
          Effect.sync(() => fs.writeFileSync(join(root, "c/cgroup.events"), "populated 1\nfrozen 1\n")),
          40
        )
        yield* Effect.all([cgroups.freeze("/c"), kernel], { concurrency: 2 })
        assert.strictEqual(fs.readFileSync(join(root, "c/cgroup.freeze"), "utf8"), "1")
      })
    )
  )

  it.live("killing and removing what is gone is done", () =>
    withTree(2, {}, (cgroups) => Effect.andThen(cgroups.killAll("/gone", nobody), cgroups.remove("/gone")))
  )
})

describe("removing", () => {
  it.live("takes a tree out of every hierarchy, bottom up", () =>
    withTree(1, {}, (cgroups, root) =>
      Effect.gen(function* () {
        for (const name of ["memory", "pids", "freezer"]) {
          fs.mkdirSync(join(root, name, "p/c/inner/deep"), { recursive: true })
        }
        yield* cgroups.remove("/p/c")
        for (const name of ["memory", "pids", "freezer"])
          assert.deepStrictEqual(fs.readdirSync(join(root, name, "p")), [])
      })
    )
  )
})
