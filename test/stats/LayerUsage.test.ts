import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { Jobs } from "../../src/pod/Jobs.ts"
import { LayerUsage } from "../../src/stats/LayerUsage.ts"
import { ContainerStore, type StoredContainer } from "../../src/store/ContainerStore.ts"
import { ContainerNotFound } from "../../src/store/StoreError.ts"

interface Scripted {
  /** Milliseconds that a walk takes. */
  walkMs: number
  bytes: bigint
  walks: number
  present: ReadonlyArray<string>
}

const stored = (id: string): StoredContainer => ({
  id,
  names: [id],
  imageId: "",
  layerId: id,
  metadata: "",
  createdMs: 0
})

const scripted = (state: Scripted) =>
  LayerUsage.layer.pipe(
    Layer.provide(
      Layer.mock(ContainerStore, {
        mountpoint: "",
        directory: () => "",
        runDirectory: () => "",
        list: Effect.sync(() => state.present.map(stored)),
        usage: (id) =>
          Effect.gen(function* () {
            if (!state.present.includes(id)) return yield* new ContainerNotFound({ id })
            state.walks++
            yield* Effect.sleep(state.walkMs)
            return { bytes: state.bytes, inodes: 1n }
          })
      })
    ),
    Layer.provide(Jobs.layer)
  )

const withLayers = <A, E>(
  patch: Partial<Scripted>,
  use: (usage: LayerUsage["Service"], state: Scripted) => Effect.Effect<A, E>
) => {
  const state: Scripted = { walkMs: 0, bytes: 5n, walks: 0, present: ["a", "b"], ...patch }
  return Effect.flatMap(LayerUsage, (usage) => use(usage, state)).pipe(Effect.provide(scripted(state)))
}

const bytesOf = (usage: LayerUsage["Service"], id: string) =>
  Effect.map(usage.refresh([id]), () => usage.last(id)?.bytes)

describe("measurements of writable layers", () => {
  it.effect("are shared by requests that come together and kept for ten seconds", () =>
    withLayers({}, (usage, state) =>
      Effect.gen(function* () {
        const both = yield* Effect.all([bytesOf(usage, "a"), bytesOf(usage, "a")], { concurrency: 2 })
        assert.deepStrictEqual([both, state.walks], [[5n, 5n], 1])
        state.bytes = 6n
        yield* TestClock.adjust("9 seconds")
        assert.deepStrictEqual([yield* bytesOf(usage, "a"), state.walks], [5n, 1])
        yield* TestClock.adjust("1 second")
        yield* usage.refresh(["a"])
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual([yield* bytesOf(usage, "a"), state.walks], [6n, 2])
      })
    )
  )

  it.effect("are taken anew although the host's time has been set back", () =>
    withLayers({}, (usage, state) =>
      Effect.gen(function* () {
        yield* TestClock.adjust("1 hour")
        yield* usage.refresh(["a"])
        yield* TestClock.setTime(0)
        yield* TestClock.adjust("10 seconds")
        yield* usage.refresh(["a"])
        yield* TestClock.adjust("1 second")
        assert.strictEqual(state.walks, 2)
      })
    )
  )

  it.effect("hold up nobody who asks often: a request that finds one due gets the last", () =>
    withLayers({ walkMs: 50 }, (usage, state) =>
      Effect.gen(function* () {
        const first = yield* Effect.forkChild(usage.refresh(["a"]), { startImmediately: true })
        yield* TestClock.adjust("50 millis")
        yield* Fiber.join(first)
        state.bytes = 6n
        yield* TestClock.adjust("10 seconds")
        // Returns although the clock stands still.
        assert.strictEqual(yield* bytesOf(usage, "a"), 5n)
        yield* TestClock.adjust("50 millis")
        assert.deepStrictEqual([usage.last("a")?.bytes, state.walks], [6n, 2])
      })
    )
  )

  it.effect("that take long hold up nobody, and rest ten times as long", () =>
    withLayers({ walkMs: 30_000 }, (usage, state) =>
      Effect.gen(function* () {
        const first = yield* Effect.forkChild(bytesOf(usage, "a"), { startImmediately: true })
        yield* TestClock.adjust("1 second")
        assert.isUndefined(yield* Fiber.join(first))
        yield* TestClock.adjust("29 seconds")
        assert.strictEqual(yield* bytesOf(usage, "a"), 5n)
        yield* TestClock.adjust("299 seconds")
        assert.deepStrictEqual([yield* bytesOf(usage, "a"), state.walks], [5n, 1])

        state.bytes = 6n
        yield* TestClock.adjust("21 seconds")
        const late = yield* Effect.forkChild(bytesOf(usage, "a"), { startImmediately: true })
        yield* TestClock.adjust("100 millis")
        assert.deepStrictEqual([yield* Fiber.join(late), state.walks], [5n, 2])
        yield* TestClock.adjust("30 seconds")
        assert.strictEqual(yield* bytesOf(usage, "a"), 6n)
      })
    )
  )

  it.effect("that nobody has asked for in a long time are waited for a moment", () =>
    withLayers({ walkMs: 50 }, (usage, state) =>
      Effect.gen(function* () {
        const first = yield* Effect.forkChild(usage.refresh(["a"]), { startImmediately: true })
        yield* TestClock.adjust("50 millis")
        yield* Fiber.join(first)
        state.bytes = 6n
        yield* TestClock.adjust("1 hour")
        const late = yield* Effect.forkChild(bytesOf(usage, "a"), { startImmediately: true })
        yield* TestClock.adjust("50 millis")
        assert.strictEqual(yield* Fiber.join(late), 6n)
      })
    )
  )

  it.effect("end with their container", () =>
    withLayers({}, (usage, state) =>
      Effect.gen(function* () {
        assert.strictEqual(yield* bytesOf(usage, "a"), 5n)
        assert.isUndefined(yield* bytesOf(usage, "gone"))
        state.present = ["b"]
        yield* TestClock.adjust("1 hour")
        assert.isUndefined(yield* bytesOf(usage, "a"))
      })
    )
  )
})
