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
          : ["memory", "pids", "freezer", "cpuacct"].map((name) => mount(name, "cgroup", `rw,${name}`)).join("")
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

describe("readers", () => {
  it.live("v1", () =>
    withTree(
      1,
      {
        "memory/p/c/memory.usage_in_bytes": "1000\n",
        "memory/p/c/memory.limit_in_bytes": "9223372036854771712\n",
        "memory/p/c/memory.stat":
          "inactive_file 1\nrss 2\ntotal_rss 200\ntotal_swap 40\ntotal_pgfault 5\ntotal_pgmajfault 6\ntotal_inactive_file 300\n",
        "memory/p/c/memory.memsw.limit_in_bytes": "9223372036854771712\n",
        "cpuacct/p/c/cpuacct.usage": "123456789\n",
        "memory/p/c/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
        "pids/p/c/pids.current": "4\n",
        "pids/p/c/pids.max": "64\n",
        "pids/p/c/cgroup.procs": "10\n11\n",
        "pids/p/c/inner/cgroup.procs": "12\n11\n",
        "pids/p/cgroup.procs": ""
      },
      (cgroups) =>
        Effect.gen(function* () {
          assert.strictEqual(cgroups.version, 1)
          assert.deepStrictEqual(yield* cgroups.memory("/p/c"), {
            usageBytes: 1000n,
            workingSetBytes: 700n,
            limitBytes: undefined,
            rssBytes: 200n,
            pageFaults: 5n,
            majorPageFaults: 6n
          })
          assert.deepStrictEqual(yield* cgroups.swap("/p/c"), { usageBytes: 40n, limitBytes: undefined })
          assert.strictEqual(yield* cgroups.cpuTimeNs("/p/c"), 123_456_789n)
          assert.isUndefined(yield* cgroups.pressure("/p/c", "cpu"))
          assert.strictEqual(yield* cgroups.oomKills("/p/c"), 3n)
          assert.deepStrictEqual(yield* cgroups.processCount("p/c"), { current: 4n, limit: 64n })
          assert.deepStrictEqual(yield* cgroups.processes("/p"), [10, 11, 12])
        })
    )
  )

  it.live("v2", () =>
    withTree(
      2,
      {
        "c.scope/memory.current": "1000\n",
        "c.scope/memory.max": "2000\n",
        "c.scope/memory.stat": "anon 200\ninactive_file 1300\npgfault 5\npgmajfault 6\n",
        "c.scope/memory.swap.current": "40\n",
        "c.scope/memory.swap.max": "100\n",
        "c.scope/cpu.stat": "usage_usec 77\nuser_usec 70\n",
        "c.scope/cpu.pressure": "some avg10=1.50 avg60=0.20 avg300=0.03 total=9\n",
        "c.scope/memory.events": "oom 1\noom_kill 2\n",
        "c.scope/pids.current": "1\n",
        "c.scope/pids.max": "max\n",
        "c.scope/cgroup.procs": "7\n"
      },
      (cgroups) =>
        Effect.gen(function* () {
          assert.strictEqual(cgroups.version, 2)
          assert.deepStrictEqual(yield* cgroups.memory("/c.scope"), {
            usageBytes: 1000n,
            workingSetBytes: 0n,
            limitBytes: 2000n,
            rssBytes: 200n,
            pageFaults: 5n,
            majorPageFaults: 6n
          })
          assert.deepStrictEqual(yield* cgroups.swap("/c.scope"), { usageBytes: 40n, limitBytes: 100n })
          assert.strictEqual(yield* cgroups.cpuTimeNs("/c.scope"), 77_000n)
          assert.deepStrictEqual(yield* cgroups.pressure("/c.scope", "cpu"), {
            some: { totalNs: 9000n, avg10: 1.5, avg60: 0.2, avg300: 0.03 },
            full: { totalNs: 0n, avg10: 0, avg60: 0, avg300: 0 }
          })
          assert.isUndefined(yield* cgroups.pressure("/c.scope", "io"))
          assert.strictEqual(yield* cgroups.oomKills("/c.scope"), 2n)
          assert.deepStrictEqual(yield* cgroups.processCount("/c.scope"), { current: 1n, limit: undefined })
          assert.deepStrictEqual(yield* cgroups.processes("/c.scope"), [7])
        })
    )
  )

  it.live("a cgroup that is not there is ENOENT, the root and .. are refused", () =>
    withTree(1, { "pids/x": "", "memory/x": "", "freezer/x": "" }, (cgroups) =>
      Effect.gen(function* () {
        const missing = yield* Effect.flip(cgroups.memory("/gone"))
        assert.strictEqual(missing._tag === "LinuxError" && missing.code, "ENOENT")
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
