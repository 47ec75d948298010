/** The list of containers while several look at the records. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { Files } from "../../src/linux/Files.ts"
import { Locks } from "../../src/linux/Locks.ts"
import { Mounts } from "../../src/linux/Mounts.ts"
import { makeContainerStore } from "../../src/store/internal/containerStore.ts"
import { storePaths } from "../../src/store/internal/paths.ts"
import { containerCodec, type ContainerRecord, newRecord } from "../../src/store/internal/records.ts"
import { StoreRoot, type StoreRecords } from "../../src/store/internal/StoreRoot.ts"

const container = (digit: string): ContainerRecord =>
  newRecord(containerCodec, { id: digit.repeat(64), names: [digit], image: "i", layer: `layer-${digit}` })

/** A store whose records are read at once, and arrive when `reads` lets them. */
const makeRoot = () => {
  let now: ReadonlyArray<ContainerRecord> = []
  const gates: Array<Deferred.Deferred<void>> = []
  const records = Effect.suspend(() => {
    const containers = now
    const found: StoreRecords = { layers: [], volatileLayers: [], images: [], containers, volatileContainers: [] }
    const gate = gates.shift()
    return gate === undefined ? Effect.succeed(found) : Effect.as(Deferred.await(gate), found)
  })
  const add = (record: ContainerRecord) =>
    Effect.sync(() => {
      now = [...now, record]
      return record
    })
  const layer = Layer.mock(StoreRoot, {
    paths: storePaths("/store", "/run/store"),
    directories: {} as never,
    trash: {} as never,
    records,
    exclusive: (() => add(container("a"))) as never
  })
  return { layer, gates }
}

const host = Layer.mergeAll(
  Layer.mock(Files, { makeDirectory: () => Effect.void }),
  Layer.mock(Locks, {}),
  Layer.mock(Mounts, {})
)

describe("the list of containers", () => {
  it.effect("does not lose what was just made to a look that began before", () => {
    const { layer, gates } = makeRoot()
    return Effect.gen(function* () {
      const store = yield* makeContainerStore
      const gate = yield* Deferred.make<void>()
      gates.push(gate)
      // The look at other programs' changes has read the records, and is slow to say so.
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(gates, [])
      const made = yield* Effect.forkChild(
        store.create({ id: "a".repeat(64), name: "a", imageId: "i", metadata: "{}" }),
        { startImmediately: true }
      )
      yield* Deferred.succeed(gate, undefined)
      const { id } = yield* Fiber.join(made)
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(
        (yield* store.list).map((one) => one.id),
        [id]
      )
      // The next look shows the same.
      yield* TestClock.adjust("2 seconds")
      assert.lengthOf(yield* store.list, 1)
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(layer, host)))
  })
})
