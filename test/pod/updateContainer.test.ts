import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { Cni } from "../../src/cni/Cni.ts"
import { CgroupLimits } from "../../src/cgroup/CgroupLimits.ts"
import { Cgroups } from "../../src/cgroup/Cgroups.ts"
import { LinuxContainerResources } from "../../src/gen/runtime/v1/api.ts"
import { LinuxError } from "../../src/linux/LinuxError.ts"
import { Mounts } from "../../src/linux/Mounts.ts"
import { Namespaces } from "../../src/linux/Namespaces.ts"
import { HostFacts } from "../../src/oci/HostFacts.ts"
import { RuntimeCommandFailed } from "../../src/oci/OciError.ts"
import { OciRuntime } from "../../src/oci/OciRuntime.ts"
import { type RuntimeHandler, RuntimeHandlers } from "../../src/oci/RuntimeHandlers.ts"
import type { ContainerRecord } from "../../src/pod/ContainerRecord.ts"
import { Pods } from "../../src/pod/Pods.ts"
import { Releases } from "../../src/pod/Releases.ts"
import { restoreLimits, updateContainer } from "../../src/pod/updateContainer.ts"
import { ContainerStore } from "../../src/store/ContainerStore.ts"
import { containerId, containerRecord, Host, podRecord } from "./support/host.ts"

const blank = LinuxContainerResources.decode(new Uint8Array(0))
const cgroup = `/kubepods/pod-uid-1/crio-${containerId}`
const mib = 1n << 20n

/** A cgroup v1 with a runtime that writes its files one by one and may fail between two. */
class Limited {
  readonly host = new Host()
  files: Record<string, string> = {
    "cpu.shares": "1024",
    "cpu.cfs_quota_us": "-1",
    "memory.limit_in_bytes": "67108864",
    "memory.memsw.limit_in_bytes": "67108864"
  }
  inUse = 10n * mib
  /** After how many of its files the runtime fails. */
  failsAfter: number | undefined
  /** The runtime waits for it before it begins. */
  gate: Effect.Effect<void> = Effect.void
  gone = false
  updates = 0
  /** What the record on the disk said when the runtime was called. */
  announced: unknown

  get layer() {
    const handler = { name: "crun", options: { container_min_memory: 512_000 } } as unknown as RuntimeHandler
    const absent = new LinuxError({ operation: "open", subject: cgroup, code: "ENOENT" })
    const parts = Layer.mergeAll(
      Layer.mock(OciRuntime, {
        update: (_, id, { cpu, memory }) =>
          Effect.gen({ self: this }, function* () {
            this.updates += 1
            this.announced = (this.host.saved.get(id) as ContainerRecord).resizing
            yield* this.gate
            const writes = [
              ["cpu.shares", cpu?.shares],
              ["cpu.cfs_quota_us", cpu?.quota],
              ["memory.memsw.limit_in_bytes", memory?.swap],
              ["memory.limit_in_bytes", memory?.limit]
            ] as const
            for (const [index, [name, value]] of writes.entries()) {
              if (index === this.failsAfter) {
                const detail = "write memory.limit_in_bytes: Device or resource busy"
                return yield* new RuntimeCommandFailed({
                  containerId: id,
                  runtime: "crun",
                  command: "update",
                  exitCode: 1,
                  detail
                })
              }
              if (value !== undefined) this.files[name] = `${value}`
            }
          })
      }),
      Layer.mock(CgroupLimits, {
        memoryInUse: () => Effect.sync(() => this.inUse),
        read: (path, names) =>
          Effect.sync(() => {
            assert.strictEqual(path, cgroup)
            return Object.fromEntries(
              [...names].flatMap((name) => (name in this.files ? [[name, this.files[name]!]] : []))
            )
          }),
        write: (_, values) =>
          Effect.suspend(() => {
            if (this.gone) return Effect.fail(absent)
            Object.assign(this.files, values)
            return Effect.void
          })
      }),
      Layer.mock(RuntimeHandlers, { get: () => Effect.succeed(handler) }),
      Layer.succeed(HostFacts, { cgroupVersion: 1, swapLimit: true, hugepages: true } as HostFacts["Service"]),
      Releases.layer.pipe(
        Layer.provide(
          Layer.mergeAll(
            Layer.mock(Mounts, {}),
            Layer.mock(Namespaces, {}),
            Layer.mock(Cni, {}),
            Layer.mock(Cgroups, { version: 1 }),
            Layer.mock(ContainerStore, { mountpoint: "/store", directory: () => "", runDirectory: () => "" }),
            Layer.mock(RuntimeHandlers, {}),
            Layer.mock(OciRuntime, { sweep: Effect.void })
          )
        )
      )
    )
    return parts.pipe(Layer.provideMerge(Layer.fresh(this.host.layer)))
  }
}

const adopt = (patch: Partial<ContainerRecord> = {}) =>
  Effect.flatMap(Pods, (pods) => pods.adopt([podRecord()], [containerRecord(patch)]))
const update = (requested: Partial<LinuxContainerResources>) => updateContainer(containerId, { ...blank, ...requested })
const record = Effect.flatMap(Pods, (pods) => pods.container(containerId))

const identity = { pid: 100, startTime: 7 }

describe("updateContainer", () => {
  for (const state of [
    { _tag: "Created", ...identity },
    { _tag: "Running", ...identity, startedAtNs: 1n },
    { _tag: "Stopping", ...identity, startedAtNs: 1n, deadlineMs: 9 }
  ] as const) {
    it.effect(`${state._tag}: changes what the kernel has and what the record says`, () => {
      const world = new Limited()
      return Effect.gen(function* () {
        yield* adopt({ state })
        yield* update({ cpuShares: 200n, memoryLimitInBytes: 128n * mib })
        assert.deepInclude(world.files, { "cpu.shares": "200", "memory.limit_in_bytes": "134217728" })
        const { limits, resizing } = yield* record
        assert.deepInclude(limits as object, { cpuShares: 200n, memoryLimitInBytes: 128n * mib, cpuQuota: 0n })
        assert.isUndefined(resizing)
        assert.deepStrictEqual(world.host.saved.get(containerId), yield* record)
      }).pipe(Effect.provide(world.layer))
    })
  }

  it.effect("the old values are on the disk before the runtime is asked", () => {
    const world = new Limited()
    return Effect.gen(function* () {
      yield* adopt()
      yield* update({ cpuShares: 200n })
      assert.deepStrictEqual(world.announced, { files: { "cpu.shares": "1024" } })
    }).pipe(Effect.provide(world.layer))
  })

  for (const failsAfter of [0, 1, 2, 3]) {
    it.effect(`a runtime that fails after ${failsAfter} files leaves the old limits`, () => {
      const world = new Limited()
      const before = { ...world.files }
      world.failsAfter = failsAfter
      return Effect.gen(function* () {
        yield* adopt()
        const error = yield* Effect.flip(update({ cpuShares: 200n, cpuQuota: 5n, memoryLimitInBytes: 32n * mib }))
        assert.include(error.message, "Device or resource busy")
        assert.deepStrictEqual(world.files, before)
        const { limits, resizing } = yield* record
        assert.deepStrictEqual([limits, resizing], [null, undefined])
      }).pipe(Effect.provide(world.layer))
    })
  }

  it.effect("huge pages are written by ourselves, and taken back with the rest", () => {
    const world = new Limited()
    world.files["hugetlb.2MB.limit_in_bytes"] = "9223372036854771712"
    return Effect.gen(function* () {
      yield* adopt()
      yield* update({ hugepageLimits: [{ pageSize: "2MB", limit: 4n * mib }] })
      assert.deepInclude(world.files, { "hugetlb.2MB.limit_in_bytes": "4194304" })
      assert.strictEqual(world.updates, 0)
    }).pipe(Effect.provide(world.layer))
  })

  it.effect("memory below what is in use is refused before anything is touched", () => {
    const world = new Limited()
    const before = { ...world.files }
    return Effect.gen(function* () {
      yield* adopt()
      const error = yield* Effect.flip(update({ cpuShares: 5n, memoryLimitInBytes: 10n * mib - 1n }))
      assert.strictEqual(error._tag, "InvalidRequest")
      assert.include(
        error.message,
        `10485759 bytes are below the 10485760 bytes that container ${containerId} uses now`
      )
      assert.deepStrictEqual([world.files, world.updates], [before, 0])
      yield* update({ memoryLimitInBytes: 10n * mib })
    }).pipe(Effect.provide(world.layer))
  })

  it.effect("what has exited keeps its limits", () => {
    const world = new Limited()
    const state = { startedAtNs: 1n, finishedAtNs: 2n, exitCode: 0, reason: "Completed", message: "" }
    return Effect.gen(function* () {
      yield* adopt({ state: { _tag: "Exited", ...state } })
      const error = yield* Effect.flip(update({ cpuShares: 5n }))
      assert.deepStrictEqual([error._tag, world.updates], ["WrongState", 0])
    }).pipe(Effect.provide(world.layer))
  })

  it.effect("changes wait for each other; the same request asked again is one", () => {
    const world = new Limited()
    return Effect.gen(function* () {
      yield* adopt()
      const gate = yield* Deferred.make<void>()
      world.gate = Deferred.await(gate)
      const fork = (requested: Partial<LinuxContainerResources>) =>
        Effect.forkChild(update(requested), { startImmediately: true })
      const first = yield* fork({ cpuShares: 200n })
      const again = yield* fork({ cpuShares: 200n })
      const other = yield* fork({ cpuQuota: 7n })
      yield* TestClock.adjust("1 second")
      assert.strictEqual(world.updates, 1)
      yield* Deferred.succeed(gate, undefined)
      for (const one of [first, again, other]) yield* Fiber.join(one)
      assert.strictEqual(world.updates, 2)
      assert.deepInclude((yield* record).limits as object, { cpuShares: 200n, cpuQuota: 7n })
      assert.deepInclude(world.files, { "cpu.shares": "200", "cpu.cfs_quota_us": "7" })
    }).pipe(Effect.provide(world.layer))
  })

  it.effect("a client that goes away leaves the change to its end", () => {
    const world = new Limited()
    return Effect.gen(function* () {
      yield* adopt()
      const gate = yield* Deferred.make<void>()
      world.gate = Deferred.await(gate)
      const client = yield* Effect.forkChild(update({ cpuShares: 200n }), { startImmediately: true })
      yield* Fiber.interrupt(client)
      yield* Deferred.succeed(gate, undefined)
      yield* TestClock.adjust("1 second")
      assert.deepInclude((yield* record).limits as object, { cpuShares: 200n })
    }).pipe(Effect.provide(world.layer))
  })

  it.effect("nothing is touched when the intent cannot be written", () => {
    const world = new Limited()
    world.host.diskFull = true
    const before = { ...world.files }
    return Effect.gen(function* () {
      yield* adopt()
      assert.strictEqual((yield* Effect.flip(update({ cpuShares: 5n })))._tag, "RecordError")
      assert.deepStrictEqual([world.files, world.updates], [before, 0])
    }).pipe(Effect.provide(world.layer))
  })
})

describe("restoreLimits", () => {
  const resizing = { files: { "cpu.shares": "77" } }

  it.effect("undoes what a dead daemon left half-way", () => {
    const world = new Limited()
    return Effect.gen(function* () {
      yield* adopt({ resizing })
      yield* restoreLimits(containerId)
      assert.deepInclude(world.files, { "cpu.shares": "77" })
      assert.isUndefined((yield* record).resizing)
    }).pipe(Effect.provide(world.layer))
  })

  it.effect("of a container whose cgroup has gone is done", () => {
    const world = new Limited()
    world.gone = true
    return Effect.gen(function* () {
      yield* adopt({ resizing })
      yield* restoreLimits(containerId)
      assert.isUndefined((yield* record).resizing)
    }).pipe(Effect.provide(world.layer))
  })
})
