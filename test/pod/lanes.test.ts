import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { makeLanes } from "../../src/pod/lanes.ts"

describe("lanes", () => {
  it.effect("are gone through one after another, in the order of asking; another lane does not wait", () =>
    Effect.gen(function* () {
      const { inLane } = makeLanes()
      const done: Array<string> = []
      const gate = yield* Deferred.make<void>()
      const step = (name: string) => Effect.sync(() => void done.push(name))
      const all = [
        inLane("a")(Effect.andThen(Deferred.await(gate), step("first of a"))),
        inLane("a")(step("second of a")),
        inLane("b")(step("first of b"))
      ]
      const fiber = yield* Effect.forkChild(Effect.all(all, { concurrency: "unbounded" }))
      yield* Effect.yieldNow
      assert.deepStrictEqual(done, ["first of b"])
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(done, ["first of b", "first of a", "second of a"])
    })
  )

  it.effect("are forgotten by the last who leaves, however it leaves", () =>
    Effect.gen(function* () {
      const { inLane, inUse } = makeLanes()
      const gate = yield* Deferred.make<void>()
      const first = yield* Effect.forkChild(inLane("a")(Deferred.await(gate)), { startImmediately: true })
      const second = yield* Effect.forkChild(inLane("a")(Effect.fail("no")), { startImmediately: true })
      const third = yield* Effect.forkChild(inLane("b")(Effect.die("bug")), { startImmediately: true })
      yield* Fiber.await(third)
      assert.strictEqual(inUse(), 1)
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(first)
      assert.strictEqual(yield* Effect.flip(Fiber.join(second)), "no")
      assert.strictEqual(inUse(), 0)
    })
  )

  it.effect("finish what has been asked for although nobody waits for it any more", () =>
    Effect.gen(function* () {
      const { inLane, inUse } = makeLanes()
      const gate = yield* Deferred.make<void>()
      let finished = 0
      const change = Effect.andThen(
        Deferred.await(gate),
        Effect.sync(() => void finished++)
      )
      const fibers = [
        yield* Effect.forkChild(inLane("a")(change), { startImmediately: true }),
        yield* Effect.forkChild(inLane("a")(change), { startImmediately: true })
      ]
      const interruption = yield* Effect.forkChild(Fiber.interruptAll(fibers), { startImmediately: true })
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(interruption)
      assert.deepStrictEqual([finished, inUse()], [2, 0])
    })
  )
})
