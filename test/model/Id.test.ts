import { assert, describe, it } from "@effect/vitest"
import { Effect, Random } from "effect"
import { generateId, isId } from "../../src/model/Id.ts"

const from = (next: number) =>
  Effect.provideService(generateId, Random.Random, { nextDoubleUnsafe: () => next, nextIntUnsafe: () => 0 })

describe("identifiers", () => {
  it.effect("have 64 digits whatever the random numbers are", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* from(0), "0".repeat(64))
      assert.strictEqual(yield* from(1 - Number.EPSILON / 2), "f".repeat(64))
      assert.isTrue(isId(yield* from(0.5)))
    })
  )

  it.effect("differ", () =>
    Effect.gen(function* () {
      assert.notStrictEqual(yield* generateId, yield* generateId)
    })
  )
})
