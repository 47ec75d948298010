import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { TestClock } from "effect/testing"
import { CgroupError } from "../../../src/cgroup/CgroupError.ts"
import { Cgroups } from "../../../src/cgroup/Cgroups.ts"
import { containerStats } from "../../../src/cri/runtime/containerStats.ts"
import { listContainerStats } from "../../../src/cri/runtime/listContainerStats.ts"
import { LinuxError } from "../../../src/linux/LinuxError.ts"
import type { ContainerRecord } from "../../../src/pod/ContainerRecord.ts"
import { Pods } from "../../../src/pod/Pods.ts"
import { ContainerStats } from "../../../src/stats/ContainerStats.ts"
import { LayerUsage } from "../../../src/stats/LayerUsage.ts"
import { ContainerStore } from "../../../src/store/ContainerStore.ts"

const container = (id: string, state: ContainerRecord["state"], labels: ContainerRecord["labels"] = {}) =>
  ({
    id,
    podId: `pod-of-${id}`,
    metadata: { name: `name-${id}`, attempt: 1 },
    labels,
    annotations: { note: id },
    state,
    resources: [{ _tag: "Runtime", containerId: id, handler: "crun", bundle: "", cgroup: `/p/${id}` }]
  }) as unknown as ContainerRecord

const process = { pid: 1, startTime: 1 }
const running = { _tag: "Running", ...process, startedAtNs: 1n } as const
const all = [
  container("web", running, { app: "web" }),
  container("leaving", { _tag: "Stopping", ...process, startedAtNs: 1n, deadlineMs: 0 }),
  container("vanished", running),
  container("made", { _tag: "Created", ...process }),
  container("creating", { _tag: "Creating" }),
  container("ended", {
    _tag: "Exited",
    startedAtNs: 1n,
    finishedAtNs: 2n,
    exitCode: 0,
    reason: "Completed",
    message: ""
  })
]

const present =
  <A>(value: A) =>
  (cgroup: string) =>
    cgroup === "/p/vanished" || cgroup === "/p/ended"
      ? Effect.fail(new LinuxError({ operation: "open", subject: cgroup, code: "ENOENT" }))
      : Effect.succeed(value)

const line = { totalNs: 9000n, avg10: 1.5, avg60: 0, avg300: 0 }

const cgroups = Layer.mock(Cgroups, {
  version: 2,
  cpuTimeNs: present(7n),
  memory: present({
    usageBytes: 100n,
    workingSetBytes: 80n,
    limitBytes: 300n,
    rssBytes: 60n,
    pageFaults: 5n,
    majorPageFaults: 2n
  }),
  swap: present(undefined),
  pressure: (cgroup, resource) =>
    resource === "io"
      ? Effect.fail(new CgroupError({ cgroup, reason: "the io controller is not mounted" }))
      : Effect.succeed({ some: line, full: line })
})

const environment = ContainerStats.layer.pipe(
  Layer.provide(
    Layer.mergeAll(
      cgroups,
      Layer.mock(ContainerStore, { mountpoint: "/store", directory: () => "", runDirectory: () => "" }),
      Layer.succeed(LayerUsage, {
        of: (id) => Effect.succeed(id === "web" ? Option.some({ bytes: 4096n, inodes: 3n, atNs: 77n }) : Option.none())
      })
    )
  ),
  Layer.merge(
    Layer.mock(Pods, {
      snapshot: Effect.succeed({ pods: new Map(), containers: new Map(all.map((one) => [one.id, one])) })
    })
  )
)

const filter = (patch: object) => ({ filter: { id: "", podSandboxId: "", labelSelector: {}, ...patch } })
const listedIds = (request: Parameters<typeof listContainerStats>[0]) =>
  Effect.map(listContainerStats(request), ({ stats }) => stats.map(({ attributes }) => attributes?.id))

describe("container statistics", () => {
  it.effect("have every figure with its time", () =>
    Effect.gen(function* () {
      yield* TestClock.adjust("5 millis")
      const { stats } = yield* containerStats({ containerId: "web" })
      const timestamp = 5_000_000n
      const value = (value: bigint) => ({ value })
      const psi = { Full: { Total: 9000n, Avg10: 1.5, Avg60: 0, Avg300: 0 } }
      assert.deepStrictEqual(stats, {
        attributes: {
          id: "web",
          metadata: { name: "name-web", attempt: 1 },
          labels: { app: "web" },
          annotations: { note: "web" }
        },
        cpu: {
          timestamp,
          usageCoreNanoSeconds: value(7n),
          usageNanoCores: undefined,
          psi: { ...psi, Some: psi.Full }
        },
        memory: {
          timestamp,
          workingSetBytes: value(80n),
          availableBytes: value(220n),
          usageBytes: value(100n),
          rssBytes: value(60n),
          pageFaults: value(5n),
          majorPageFaults: value(2n),
          psi: { ...psi, Some: psi.Full }
        },
        writableLayer: {
          timestamp: 77n,
          fsId: { mountpoint: "/store" },
          usedBytes: value(4096n),
          inodesUsed: value(3n)
        },
        swap: undefined,
        io: undefined
      })
    }).pipe(Effect.provide(environment))
  )

  it.effect("are listed of running containers whose cgroup is there", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* listedIds({ filter: undefined }), ["web", "leaving"])
      assert.deepStrictEqual(yield* listedIds(filter({})), ["web", "leaving"])
      assert.deepStrictEqual(yield* listedIds(filter({ labelSelector: { app: "web" } })), ["web"])
      assert.deepStrictEqual(yield* listedIds(filter({ podSandboxId: "pod-of-leaving" })), ["leaving"])
      assert.deepStrictEqual(yield* listedIds(filter({ id: "web", podSandboxId: "pod-of-leaving" })), [])
      assert.deepStrictEqual(yield* listedIds(filter({ id: "ended" })), [])
    }).pipe(Effect.provide(environment))
  )

  it.effect("of an ended container have what is left of it; of an unknown one there are none", () =>
    Effect.gen(function* () {
      const { stats } = yield* containerStats({ containerId: "ended" })
      assert.strictEqual(stats?.attributes?.id, "ended")
      assert.isUndefined(stats?.cpu)
      assert.strictEqual((yield* Effect.flip(containerStats({ containerId: "creating" })))._tag, "ContainerNotFound")
    }).pipe(Effect.provide(environment))
  )
})
