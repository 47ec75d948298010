import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import type { SettingsPatch } from "../../src/config/Settings.ts"
import { collection } from "../../src/stats/Collection.ts"
import { PodMetrics } from "../../src/stats/PodMetrics.ts"
import { Sampler } from "../../src/stats/Sampler.ts"
import { containerOf, ended, type Host, hostOf, podOf, samplerLayer, usageOf } from "./support.ts"

const web = containerOf("pod", "web")
const pod = podOf("pod")

const withSampler = <A, E>(
  host: Host,
  use: (sampler: Sampler["Service"]) => Effect.Effect<A, E>,
  patch: SettingsPatch = {}
) => {
  const collect = Effect.sync(() => void host.reads.push("metrics"))
  const metrics = Layer.succeed(PodMetrics, { descriptors: [], pods: Effect.succeed([]), collect })
  const layer = collection.pipe(Layer.provideMerge(samplerLayer(host, patch)), Layer.provide(metrics))
  return Effect.flatMap(Sampler, use).pipe(Effect.provide(layer))
}

const counters = (name: string, bytes: bigint) => {
  const traffic = { bytes, packets: 1n, errors: 0n, dropped: 0n }
  return { name, received: traffic, transmitted: traffic }
}

const hostWithWeb = () => {
  const host = hostOf([pod], [web])
  host.usages.set("/p/web", usageOf(1_000_000_000n))
  host.usages.set("/kubepods/pod", usageOf(5_000_000_000n))
  host.traffic.set("/run/netns/pod", [counters("lo", 1n), counters("eth0", 2n)])
  return host
}

describe("samples of containers", () => {
  it.effect("are half a second old at most", () => {
    const host = hostWithWeb()
    return withSampler(host, (sampler) =>
      Effect.gen(function* () {
        const [first] = yield* sampler.containers([web])
        yield* TestClock.adjust("499 millis")
        assert.strictEqual((yield* sampler.containers([web]))[0], first)
        assert.deepStrictEqual(host.reads, ["/p/web"])
        yield* TestClock.adjust("1 millis")
        assert.notStrictEqual((yield* sampler.containers([web]))[0], first)
        assert.deepStrictEqual(host.reads, ["/p/web", "/p/web"])
      })
    )
  })

  it.effect("are taken anew when the host's time has gone back since", () => {
    const host = hostWithWeb()
    return withSampler(host, (sampler) =>
      Effect.gen(function* () {
        yield* TestClock.adjust("1 hour")
        const [first] = yield* sampler.containers([web])
        yield* TestClock.setTime(0)
        assert.notStrictEqual((yield* sampler.containers([web]))[0], first)
      })
    )
  })

  it.effect("are taken once for all who ask at the same time", () => {
    const host = hostWithWeb()
    return withSampler(host, (sampler) =>
      Effect.gen(function* () {
        const both = [sampler.containers([web]), sampler.pods([pod]), sampler.containers([web])]
        yield* Effect.all(both, { concurrency: "unbounded" })
        assert.deepStrictEqual(host.reads.toSorted(), ["/kubepods/pod", "/p/web", "/run/netns/pod"])
      })
    )
  })

  it.effect("tell a rate since the one before, unless that was long ago or the counter began anew", () => {
    const host = hostWithWeb()
    const rate = (sampler: Sampler["Service"]) => Effect.map(sampler.containers([web]), ([sample]) => sample?.nanoCores)
    return withSampler(host, (sampler) =>
      Effect.gen(function* () {
        assert.isUndefined(yield* rate(sampler))
        yield* TestClock.adjust("10 seconds")
        host.usages.set("/p/web", usageOf(6_000_000_000n))
        assert.strictEqual(yield* rate(sampler), 500_000_000n)
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(yield* rate(sampler), 0n)
        yield* TestClock.adjust("61 seconds")
        assert.isUndefined(yield* rate(sampler))
        yield* TestClock.adjust("1 second")
        host.usages.set("/p/web", usageOf(1n))
        assert.isUndefined(yield* rate(sampler))
      })
    )
  })

  it.effect("of what has gone are without figures, of what was removed there are none", () => {
    const host = hostOf([pod], [containerOf("pod", "gone", ended, { resources: [] }), web])
    return withSampler(host, (sampler) =>
      Effect.gen(function* () {
        const samples = yield* sampler.containers([...host.containers.values()])
        assert.deepStrictEqual(
          samples.map(({ usage }) => usage),
          [undefined, undefined]
        )
        host.containers.delete("gone")
        yield* TestClock.adjust("1 second")
        const left = yield* sampler.containers([containerOf("pod", "gone", ended), web])
        assert.deepStrictEqual(
          left.map(({ container }) => container.id),
          ["web"]
        )
      })
    )
  })
})

describe("samples of pods", () => {
  it.effect("have the pod's cgroup, its interfaces without loopback and the containers that run", () => {
    const host = hostWithWeb()
    const others = [containerOf("pod", "old", ended), containerOf("other", "foreign")]
    for (const other of others) host.containers.set(other.id, other)
    return withSampler(host, (sampler) =>
      Effect.gen(function* () {
        const [sample] = yield* sampler.pods([pod])
        assert.strictEqual(sample?.usage?.cpuTimeNs, 5_000_000_000n)
        assert.deepStrictEqual(sample?.network, [counters("eth0", 2n)])
        assert.deepStrictEqual(
          sample?.containers.map(({ container }) => container.id),
          ["web"]
        )
      })
    )
  })

  it.effect("without a cgroup of its own, it is the sum of what is in it", () => {
    const pause = { _tag: "Runtime", containerId: "alone", handler: "crun", bundle: "", cgroup: "/p/pause" } as const
    const alone = podOf("alone", { cgroupParent: "", resources: [pause] })
    const host = hostOf([alone], [containerOf("alone", "one"), containerOf("alone", "two")])
    host.usages.set("/p/one", usageOf(1n))
    host.usages.set("/p/two", usageOf(2n, { memory: undefined }))
    host.usages.set("/p/pause", usageOf(4n))
    return withSampler(host, (sampler) =>
      Effect.gen(function* () {
        const [sample] = yield* sampler.pods([alone])
        assert.strictEqual(sample?.usage?.cpuTimeNs, 7n)
        assert.strictEqual(sample?.usage?.memory?.workingSetBytes, 160n)
        assert.isUndefined(sample?.usage?.memory?.limitBytes)
        assert.strictEqual(sample?.usage?.tasks, 9n)
        assert.isUndefined(sample?.network)
      })
    )
  })

  it.effect("with a network namespace that has gone are without its figures", () => {
    const host = hostWithWeb()
    host.traffic.clear()
    return withSampler(host, (sampler) =>
      Effect.gen(function* () {
        const [sample] = yield* sampler.pods([pod])
        assert.isUndefined(sample?.network)
        assert.strictEqual(sample?.usage?.cpuTimeNs, 5_000_000_000n)
      })
    )
  })
})

describe("a period of collection", () => {
  const every3 = { stats: { collection_period: 3 } }

  it.effect("samples without being asked, and requests read nothing", () => {
    const host = hostWithWeb()
    return withSampler(
      host,
      (sampler) =>
        Effect.gen(function* () {
          const round = ["/p/web", "/kubepods/pod", "/run/netns/pod"]
          yield* TestClock.adjust("1 second")
          assert.deepStrictEqual(host.reads, round)
          yield* sampler.pods([pod])
          yield* sampler.containers([web])
          assert.deepStrictEqual(host.reads, round)
          yield* TestClock.adjust("3 seconds")
          assert.deepStrictEqual(host.reads, [...round, ...round])
        }),
      every3
    )
  })

  it.effect("reads metrics as well, where some are included", () => {
    const host = hostWithWeb()
    const patch = { stats: { collection_period: 3, included_pod_metrics: ["oom" as const] } }
    return withSampler(
      host,
      () =>
        Effect.gen(function* () {
          yield* TestClock.adjust("1 second")
          yield* TestClock.adjust("1 second")
          assert.strictEqual(host.reads.at(-1), "metrics")
        }),
      patch
    )
  })

  it.effect("what it has not met yet is sampled when somebody asks", () => {
    const host = hostWithWeb()
    return withSampler(
      host,
      (sampler) =>
        Effect.gen(function* () {
          yield* TestClock.adjust("1 second")
          const late = containerOf("pod", "late")
          host.containers.set("late", late)
          host.usages.set("/p/late", usageOf(9n))
          const [sample] = yield* sampler.containers([late])
          assert.strictEqual(sample?.usage?.cpuTimeNs, 9n)
        }),
      every3
    )
  })

  it.effect("of 0 samples nothing while nobody asks; the old option means the same", () =>
    Effect.gen(function* () {
      const idle = hostWithWeb()
      yield* withSampler(idle, () => TestClock.adjust("1 hour"))
      assert.deepStrictEqual(idle.reads, [])
      const old = hostWithWeb()
      yield* withSampler(old, () => TestClock.adjust("1 second"), { stats: { stats_collection_period: 7 } })
      assert.strictEqual(old.reads.length, 3)
    })
  )
})
