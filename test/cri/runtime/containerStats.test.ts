import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import type { Encoded } from "../../../src/cri/adapter.ts"
import { containerStats } from "../../../src/cri/runtime/containerStats.ts"
import { listContainerStats } from "../../../src/cri/runtime/listContainerStats.ts"
import { streamContainerStats } from "../../../src/cri/runtime/streamContainerStats.ts"
import { ListContainerStatsResponse, StreamContainerStatsResponse } from "../../../src/gen/runtime/v1/api.ts"
import { containerOf, ended, hostOf, podOf, running, samplerLayer, usageOf } from "../../stats/support.ts"

const process = { pid: 1, startTime: 1 }
const all = [
  containerOf("pod-of-web", "web", running, { labels: { app: "web" } }),
  containerOf("pod-of-leaving", "leaving", { _tag: "Stopping", ...process, startedAtNs: 1n, deadlineMs: 0 }),
  containerOf("p", "refused", { _tag: "Stopping", ...process, startedAtNs: 0n, deadlineMs: 0 }),
  containerOf("p", "vanished"),
  containerOf("p", "made", { _tag: "Created", ...process }),
  containerOf("p", "creating", { _tag: "Creating" }),
  containerOf("p", "ended", ended)
]

const line = { totalNs: 9000n, avg10: 1.5, avg60: 0, avg300: 0 }
const pressure = { some: line, full: line }

const makeHost = () => {
  const host = hostOf([podOf("p")], all)
  host.usages.set("/p/web", usageOf(7n, { pressure: { cpu: pressure, memory: pressure, io: undefined } }))
  for (const id of ["leaving", "refused", "made", "creating"]) host.usages.set(`/p/${id}`, usageOf(1n))
  host.layers.set("web", { bytes: 4096n, inodes: 3n, atNs: 77n })
  return host
}

const environment = Layer.unwrap(Effect.sync(() => samplerLayer(makeHost())))

const filter = (patch: object) => ({ filter: { id: "", podSandboxId: "", labelSelector: {}, ...patch } })
const decoded = ({ bytes }: Encoded) => ListContainerStatsResponse.decode(bytes).stats
const listedIds = (request: Parameters<typeof listContainerStats>[0]) =>
  Effect.map(listContainerStats(request), (answer) => decoded(answer).map(({ attributes }) => attributes?.id))

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

  it.effect("say the same in a list, in a stream and alone", () =>
    Effect.gen(function* () {
      const alone = yield* containerStats({ containerId: "web" })
      const [listed] = decoded(yield* listContainerStats(filter({ id: "web" })))
      assert.deepStrictEqual(listed, alone.stats)
      const messages = yield* Stream.runCollect(streamContainerStats(filter({ id: "web" })))
      const streamed = messages.map(({ bytes }) => StreamContainerStatsResponse.decode(bytes).containerStats)
      assert.deepStrictEqual(streamed, [[listed as object]])
      assert.deepStrictEqual(yield* Stream.runCollect(streamContainerStats(filter({ id: "none" }))), [])
    }).pipe(Effect.provide(environment))
  )

  it.effect("are those of the next sample when the last one is old", () => {
    const host = makeHost()
    return Effect.gen(function* () {
      const cpu = Effect.map(
        listContainerStats(filter({ id: "web" })),
        (answer) => decoded(answer)[0]?.cpu?.usageCoreNanoSeconds?.value
      )
      assert.strictEqual(yield* cpu, 7n)
      host.usages.set("/p/web", usageOf(8n))
      assert.strictEqual(yield* cpu, 7n)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* cpu, 8n)
    }).pipe(Effect.provide(samplerLayer(host)))
  })

  it.effect("of an ended container have what is left of it; of an unknown one there are none", () =>
    Effect.gen(function* () {
      const { stats } = yield* containerStats({ containerId: "ended" })
      assert.strictEqual(stats?.attributes?.id, "ended")
      assert.isUndefined(stats?.cpu)
      assert.strictEqual((yield* Effect.flip(containerStats({ containerId: "creating" })))._tag, "ContainerNotFound")
    }).pipe(Effect.provide(environment))
  )
})
