/** Removals that fail or are interrupted: none is forgotten. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { LinuxError } from "../../src/linux/LinuxError.ts"
import { makeTrash } from "../../src/store/internal/trash.ts"

/** Removes after so many refusals per path; what was tried is in `tried`. */
const stubborn = (refusals: Readonly<Record<string, number>>) => {
  const tried: Array<string> = []
  const removeTree = (path: string) =>
    Effect.suspend(() => {
      tried.push(path)
      return tried.filter((other) => other === path).length <= (refusals[path] ?? 0)
        ? Effect.fail(new LinuxError({ operation: "removeTree", subject: path, code: "EBUSY" }))
        : Effect.void
    })
  return { tried, removeTree }
}

describe("the trash of the layer store", () => {
  it.effect("is emptied by whoever asks, once", () =>
    Effect.gen(function* () {
      const files = stubborn({})
      const trash = yield* makeTrash(files)
      yield* trash.add("/a")
      yield* trash.add("/b")
      yield* trash.empty
      yield* TestClock.adjust("5 minutes")
      assert.deepStrictEqual(files.tried, ["/a", "/b"])
    })
  )

  it.effect("is emptied in the background when nobody asks", () =>
    Effect.gen(function* () {
      const files = stubborn({})
      const trash = yield* makeTrash(files)
      yield* trash.add("/a")
      yield* TestClock.adjust(999)
      assert.deepStrictEqual(files.tried, [])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(files.tried, ["/a"])
    })
  )

  it.effect("tries again with growing pauses what cannot be removed, and the others are not kept by it", () =>
    Effect.gen(function* () {
      const files = stubborn({ "/busy": 4 })
      const trash = yield* makeTrash(files)
      yield* trash.add("/busy")
      yield* trash.add("/free")
      yield* trash.empty
      assert.deepStrictEqual(files.tried, ["/busy", "/free"])
      const attempts: Array<number> = []
      for (let second = 1; second <= 60; second++) {
        const before = files.tried.length
        yield* TestClock.adjust("1 second")
        if (files.tried.length > before) attempts.push(second)
      }
      assert.deepStrictEqual(attempts, [1, 3, 7, 15])
      assert.deepStrictEqual(files.tried.slice(2), ["/busy", "/busy", "/busy", "/busy"])
    })
  )

  it.effect("keeps what an interrupted removal has not removed", () =>
    Effect.gen(function* () {
      const begun = yield* Deferred.make<void>()
      const tried: Array<string> = []
      const removeTree = (path: string) =>
        Effect.suspend(() => {
          tried.push(path)
          return tried.length > 1 ? Effect.void : Effect.andThen(Deferred.succeed(begun, undefined), Effect.never)
        })
      const trash = yield* makeTrash({ removeTree })
      yield* trash.add("/a")
      const asker = yield* Effect.forkChild(trash.empty)
      yield* Deferred.await(begun)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(tried, ["/a"], "nobody removes what is in another's hand")
      yield* Fiber.interrupt(asker)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(tried, ["/a", "/a"])
    })
  )
})
