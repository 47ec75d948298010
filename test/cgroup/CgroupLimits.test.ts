import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { CgroupLimits } from "../../src/cgroup/CgroupLimits.ts"
import { Files } from "../../src/linux/Files.ts"
import { LinuxError } from "../../src/linux/LinuxError.ts"

const v2 = "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
const v1 = ["memory", "cpu,cpuacct", "cpuset", "hugetlb"]
  .map((name, index) => `${30 + index} 20 0:26 / /sys/fs/cgroup/${name} rw - cgroup cgroup rw,${name}\n`)
  .join("")

/** A kernel that refuses what `check` says of a file's new value. */
const kernel = (
  mountInfo: string,
  files: Record<string, string>,
  check: (path: string, value: string) => string = () => ""
) => {
  const fail = (operation: string, subject: string, code: string) =>
    Effect.fail(new LinuxError({ operation, subject, code }))
  return CgroupLimits.layer.pipe(
    Layer.provide(
      Layer.mock(Files, {
        readText: (path) => {
          if (path === "/proc/self/mountinfo") return Effect.succeed(mountInfo)
          return files[path] === undefined ? fail("open", path, "ENOENT") : Effect.succeed(`${files[path]}\n`)
        },
        writeExisting: (path, text) => {
          if (files[path] === undefined) return fail("open", path, "ENOENT")
          const code = check(path, text.trim())
          if (code !== "") return fail("write", path, code)
          files[path] = text.trim()
          return Effect.void
        }
      })
    )
  )
}

describe("CgroupLimits", () => {
  it.effect("reads the files that are there: v1 by controller, v2 in one place", () =>
    Effect.gen(function* () {
      const names = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "cpu.shares", "pids.max"]
      const files = {
        "/sys/fs/cgroup/memory/p/memory.limit_in_bytes": "5",
        "/sys/fs/cgroup/cpu,cpuacct/p/cpu.shares": "2"
      }
      const old = yield* Effect.flatMap(CgroupLimits, (limits) => limits.read("/p", names)).pipe(
        Effect.provide(kernel(v1, files))
      )
      assert.deepStrictEqual(old, { "memory.limit_in_bytes": "5", "cpu.shares": "2" })
      const newer = yield* Effect.flatMap(CgroupLimits, (limits) => limits.read("/p", ["cpu.max", "cpu.weight"])).pipe(
        Effect.provide(kernel(v2, { "/sys/fs/cgroup/p/cpu.max": "max 100000" }))
      )
      assert.deepStrictEqual(newer, { "cpu.max": "max 100000" })
    })
  )

  const memory = "/sys/fs/cgroup/memory/p/memory.limit_in_bytes"
  const both = "/sys/fs/cgroup/memory/p/memory.memsw.limit_in_bytes"
  for (const [from, to] of [
    [10, 20],
    [20, 10]
  ] as const) {
    it.effect(`writes limits that hold each other from ${from} to ${to}, whatever their order`, () =>
      Effect.gen(function* () {
        for (const order of [
          [memory, both],
          [both, memory]
        ]) {
          const files = { [memory]: `${from}`, [both]: `${from}` }
          const check = (path: string, value: string) => {
            const after = { ...files, [path]: value }
            return Number(after[memory]) > Number(after[both]) ? "EINVAL" : ""
          }
          const values = Object.fromEntries(order.map((path) => [path.slice(path.lastIndexOf("/") + 1), `${to}`]))
          yield* Effect.flatMap(CgroupLimits, (limits) => limits.write("/p", values)).pipe(
            Effect.provide(kernel(v1, files, check))
          )
          assert.deepStrictEqual(files, { [memory]: `${to}`, [both]: `${to}` })
        }
      })
    )
  }

  it.effect("fails with the kernel's word when none helps another", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        Effect.flatMap(CgroupLimits, (limits) => limits.write("/p", { "memory.max": "1", "cpu.max": "2" })).pipe(
          Effect.provide(
            kernel(v2, { "/sys/fs/cgroup/p/memory.max": "9", "/sys/fs/cgroup/p/cpu.max": "9" }, () => "EBUSY")
          )
        )
      )
      assert.deepInclude(error as object, { _tag: "LinuxError", code: "EBUSY" })
    })
  )

  it.effect("memory in use is without the cache that would be dropped first", () =>
    Effect.gen(function* () {
      const base = "/sys/fs/cgroup/memory/p/memory"
      const files = { [`${base}.usage_in_bytes`]: "100", [`${base}.stat`]: "inactive_file 1\ntotal_inactive_file 30" }
      const inUse = Effect.flatMap(CgroupLimits, (limits) => limits.memoryInUse("/p"))
      assert.strictEqual(yield* Effect.provide(inUse, kernel(v1, files)), 70n)
      const newer = { "/sys/fs/cgroup/p/memory.current": "10", "/sys/fs/cgroup/p/memory.stat": "inactive_file 30" }
      assert.strictEqual(yield* Effect.provide(inUse, kernel(v2, newer)), 0n)
    })
  )

  it.effect("nothing but control files of cgroups below the root", () =>
    Effect.gen(function* () {
      const limits = yield* CgroupLimits
      for (const [cgroup, name] of [
        ["/p", "../memory.max"],
        ["/p", "memory/max"],
        ["/p", "cgroup"],
        ["/", "memory.max"],
        ["/../p", "memory.max"]
      ] as const) {
        assert.strictEqual((yield* Effect.flip(limits.write(cgroup, { [name]: "1" })))._tag, "CgroupError", name)
      }
    }).pipe(Effect.provide(kernel(v2, {})))
  )
})
