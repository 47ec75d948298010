import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger } from "effect"
import { TestClock } from "effect/testing"
import { keepRunning } from "../../src/linux/keepRunning.ts"

/** Ends as told, one after the other, and then hangs; answers how often it was begun, and what was logged. */
const running = (endings: ReadonlyArray<Effect.Effect<void, string>>) =>
  Effect.gen(function* () {
    const seen = { begun: 0, interrupted: false, lines: new Array<string>() }
    const step = Effect.suspend(
      () =>
        endings[seen.begun++] ?? Effect.onInterrupt(Effect.never, () => Effect.sync(() => (seen.interrupted = true)))
    )
    const logger = Logger.make(({ message }) => void seen.lines.push(String(message)))
    yield* keepRunning("the watch", step, "5 seconds").pipe(Effect.provide(Logger.layer([logger])))
    return seen
  })

describe("keepRunning", () => {
  it.effect("begins again what has failed or died, after a pause and with a line in the log", () =>
    Effect.gen(function* () {
      const seen = yield* running([Effect.fail("no directory"), Effect.die(new TypeError("a bug"))])
      assert.strictEqual(seen.begun, 1)
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual(seen.begun, 1)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(seen.begun, 2)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(seen.begun, 3)
      assert.deepStrictEqual(seen.lines, Array(2).fill("the watch has ended and is begun again"))
    }).pipe(Effect.scoped)
  )

  it.effect("goes on at once after an end in order", () =>
    Effect.gen(function* () {
      const seen = yield* running([Effect.void, Effect.void])
      yield* TestClock.adjust(0)
      assert.strictEqual(seen.begun, 3)
      assert.deepStrictEqual(seen.lines, [])
    }).pipe(Effect.scoped)
  )

  it.effect("ends with its scope, without a word", () =>
    Effect.gen(function* () {
      const seen = yield* Effect.scoped(running([]))
      assert.isTrue(seen.interrupted)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(seen.begun, 1)
      assert.deepStrictEqual(seen.lines, [])
    })
  )
})
