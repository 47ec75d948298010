import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { Files } from "../../src/linux/Files.ts"
import { LinuxError } from "../../src/linux/LinuxError.ts"
import { makeImageUsage } from "../../src/store/internal/imageUsage.ts"

const layer = (id: string) => ({ id, diffSize: 700 })

/** Layers whose walk takes so many milliseconds; others are not there. */
const usageOf = (walks: Readonly<Record<string, number>>, walked: Array<string>) =>
  Effect.flatMap(Files, (files) => makeImageUsage(files, "/overlay")).pipe(
    Effect.provide(
      Layer.mock(Files, {
        diskUsage: (path) => {
          walked.push(path)
          const takes = walks[path.split("/")[2] ?? ""]
          return takes === undefined
            ? Effect.fail(new LinuxError({ operation: "du", subject: path, code: "ENOENT" }))
            : Effect.as(Effect.sleep(takes), { bytes: 10n, inodes: 2n })
        }
      })
    )
  )

describe("what image layers use", () => {
  it.effect("is measured once, and goes with the layer", () =>
    Effect.gen(function* () {
      const walked: Array<string> = []
      const usage = yield* usageOf({ a: 0, b: 0 }, walked)
      const ask = (...ids: ReadonlyArray<string>) =>
        Effect.gen(function* () {
          const fiber = yield* Effect.forkChild(usage(ids.map(layer)), { startImmediately: true })
          yield* TestClock.adjust("10 millis")
          return yield* Fiber.join(fiber)
        })
      assert.deepStrictEqual(yield* ask("a", "b"), { bytes: 20n, inodes: 4n })
      assert.deepStrictEqual(yield* ask("a", "b"), { bytes: 20n, inodes: 4n })
      assert.deepStrictEqual(walked, ["/overlay/a/diff", "/overlay/b/diff"])
      assert.deepStrictEqual(yield* ask("b"), { bytes: 10n, inodes: 2n })
      assert.deepStrictEqual(yield* ask("a", "b"), { bytes: 20n, inodes: 4n })
      assert.strictEqual(walked.length, 3)
    })
  )

  it.effect("of a large layer is the size of its archive until it has been measured; nobody waits for longer", () =>
    Effect.gen(function* () {
      const walked: Array<string> = []
      const usage = yield* usageOf({ small: 0, large: 60_000 }, walked)
      const first = yield* Effect.forkChild(usage([layer("small"), layer("large")]), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Fiber.join(first), { bytes: 710n, inodes: 2n })
      // Returns although the clock stands still.
      assert.deepStrictEqual(yield* usage([layer("small"), layer("large")]), { bytes: 710n, inodes: 2n })
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* usage([layer("small"), layer("large")]), { bytes: 20n, inodes: 4n })
      assert.strictEqual(walked.length, 2)
    })
  )

  it.effect("does not fail when a layer goes meanwhile", () =>
    Effect.gen(function* () {
      const walked: Array<string> = []
      const usage = yield* usageOf({ a: 0 }, walked)
      const fiber = yield* Effect.forkChild(usage([layer("gone"), layer("a")]), { startImmediately: true })
      yield* TestClock.adjust("10 millis")
      assert.deepStrictEqual(yield* Fiber.join(fiber), { bytes: 710n, inodes: 2n })
    })
  )
})
