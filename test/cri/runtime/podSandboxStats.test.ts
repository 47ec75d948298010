import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import { listPodSandboxStats } from "../../../src/cri/runtime/listPodSandboxStats.ts"
import { podSandboxStats } from "../../../src/cri/runtime/podSandboxStats.ts"
import { streamPodSandboxStats } from "../../../src/cri/runtime/streamPodSandboxStats.ts"
import { StreamPodSandboxStatsResponse } from "../../../src/gen/runtime/v1/api.ts"
import { containerOf, hostOf, podOf, samplerLayer, usageOf } from "../../stats/support.ts"

const pods = [
  podOf("one", { labels: { app: "one" } }),
  podOf("two", { resources: [] }),
  podOf("stopped", { state: { _tag: "NotReady", reason: "stopped" }, resources: [] }),
  podOf("starting", { state: { _tag: "Starting" } })
]

const line = { totalNs: 9000n, avg10: 1.5, avg60: 0, avg300: 0 }
const io = { some: line, full: line }

const traffic = (bytes: bigint) => ({ bytes, packets: 1n, errors: 3n, dropped: 0n })
const device = (name: string, bytes: bigint) => ({ name, received: traffic(bytes), transmitted: traffic(bytes + 1n) })

const environment = Layer.unwrap(
  Effect.sync(() => {
    const host = hostOf(pods, [containerOf("one", "web"), containerOf("one", "vanished"), containerOf("two", "db")])
    host.usages.set("/p/web", usageOf(7n))
    host.usages.set("/p/db", usageOf(8n))
    host.usages.set("/kubepods/one", usageOf(70n, { pressure: { cpu: undefined, memory: undefined, io } }))
    host.usages.set("/kubepods/two", usageOf(80n))
    host.traffic.set("/run/netns/one", [device("lo", 1n), device("net1", 20n), device("eth0", 10n)])
    return samplerLayer(host)
  })
)

const filter = (patch: object) => ({ filter: { id: "", labelSelector: {}, ...patch } })
const listedIds = (request: Parameters<typeof listPodSandboxStats>[0]) =>
  Effect.map(listPodSandboxStats(request), ({ stats }) => stats.map(({ attributes }) => attributes?.id))

describe("pod statistics", () => {
  it.effect("have the pod's own figures, its interfaces and its containers", () =>
    Effect.gen(function* () {
      yield* TestClock.adjust("5 millis")
      const { stats } = yield* podSandboxStats({ podSandboxId: "one" })
      const timestamp = 5_000_000n
      const value = (value: bigint) => ({ value })
      const usage = (name: string, bytes: bigint) => ({
        name,
        rxBytes: value(bytes),
        rxErrors: value(3n),
        txBytes: value(bytes + 1n),
        txErrors: value(3n)
      })
      assert.deepStrictEqual(stats?.attributes?.metadata, pods[0]?.metadata)
      assert.deepStrictEqual(stats?.linux?.cpu?.usageCoreNanoSeconds, value(70n))
      assert.deepStrictEqual(stats?.linux?.memory?.workingSetBytes, value(80n))
      assert.deepStrictEqual(stats?.linux?.process, { timestamp, processCount: value(3n) })
      assert.strictEqual(stats?.linux?.io?.psi?.Some?.Total, 9000n)
      assert.deepStrictEqual(stats?.linux?.network, {
        timestamp,
        defaultInterface: usage("eth0", 10n),
        interfaces: [usage("net1", 20n)]
      })
      assert.deepStrictEqual(
        stats?.linux?.containers.map(({ attributes, cpu }) => [attributes?.id, cpu?.usageCoreNanoSeconds?.value]),
        [["web", 7n]]
      )
    }).pipe(Effect.provide(environment))
  )

  it.effect("tell no network of a pod that is on the host's", () =>
    Effect.gen(function* () {
      const { stats } = yield* podSandboxStats({ podSandboxId: "two" })
      assert.isUndefined(stats?.linux?.network)
      assert.strictEqual(stats?.linux?.cpu?.usageCoreNanoSeconds?.value, 80n)
    }).pipe(Effect.provide(environment))
  )

  it.effect("are listed of pods that are ready", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* listedIds({ filter: undefined }), ["one", "two"])
      assert.deepStrictEqual(yield* listedIds(filter({})), ["one", "two"])
      assert.deepStrictEqual(yield* listedIds(filter({ id: "two" })), ["two"])
      assert.deepStrictEqual(yield* listedIds(filter({ labelSelector: { app: "one" } })), ["one"])
      assert.deepStrictEqual(yield* listedIds(filter({ id: "two", labelSelector: { app: "one" } })), [])
      assert.deepStrictEqual(yield* listedIds(filter({ id: "stopped" })), [])
    }).pipe(Effect.provide(environment))
  )

  it.effect("say the same in a stream", () =>
    Effect.gen(function* () {
      const { stats } = yield* listPodSandboxStats({ filter: undefined })
      const messages = yield* Stream.runCollect(streamPodSandboxStats({ filter: undefined }))
      const streamed = messages.flatMap(({ bytes }) => StreamPodSandboxStatsResponse.decode(bytes).podSandboxStats)
      assert.deepStrictEqual(streamed, stats)
    }).pipe(Effect.provide(environment))
  )

  it.effect("of a stopped pod have its name alone; of one that is not listed there are none", () =>
    Effect.gen(function* () {
      const { stats } = yield* podSandboxStats({ podSandboxId: "stopped" })
      assert.strictEqual(stats?.attributes?.id, "stopped")
      assert.isUndefined(stats?.linux?.cpu)
      assert.deepStrictEqual(stats?.linux?.containers, [])
      for (const podSandboxId of ["starting", "none", ""]) {
        assert.strictEqual((yield* Effect.flip(podSandboxStats({ podSandboxId })))._tag, "PodNotFound")
      }
    }).pipe(Effect.provide(environment))
  )
})
