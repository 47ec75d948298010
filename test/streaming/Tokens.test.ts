import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { SecureRandom } from "effect/crypto"
import { TestClock } from "effect/testing"
import { makeTokens } from "../../src/streaming/Tokens.ts"

const make = makeTokens<string>({ capacity: 3, lifetimeMs: 60_000 }).pipe(Effect.provide(SecureRandom.layerWebCrypto))

describe("tokens", () => {
  it.effect("are 128 bits of base64url, each another", () =>
    Effect.gen(function* () {
      const tokens = yield* make
      const issued = [yield* tokens.issue("a"), yield* tokens.issue("b")]
      for (const token of issued) assert.match(token, /^[A-Za-z0-9_-]{22}$/)
      assert.notStrictEqual(issued[0], issued[1])
    })
  )

  it.effect("are worth something once", () =>
    Effect.gen(function* () {
      const tokens = yield* make
      const token = yield* tokens.issue("a")
      assert.strictEqual(yield* tokens.take(token), "a")
      assert.isUndefined(yield* tokens.take(token))
      assert.isUndefined(yield* tokens.take("never-issued"))
    })
  )

  it.effect("are worth nothing after a minute", () =>
    Effect.gen(function* () {
      const tokens = yield* make
      const [early, late] = [yield* tokens.issue("a"), yield* tokens.issue("b")]
      yield* TestClock.adjust("59999 millis")
      assert.strictEqual(yield* tokens.take(early), "a")
      yield* TestClock.adjust("1 millis")
      assert.isUndefined(yield* tokens.take(late))
    })
  )

  it.effect("live neither longer nor shorter when the host's time is set", () =>
    Effect.gen(function* () {
      yield* TestClock.adjust("1 hour")
      const tokens = yield* make
      const token = yield* tokens.issue("a")
      yield* TestClock.setTime(0)
      yield* TestClock.adjust("60 seconds")
      assert.isUndefined(yield* tokens.take(token))
    })
  )

  it.effect("are not more than there may be; those taken and those expired make room", () =>
    Effect.gen(function* () {
      const tokens = yield* make
      const first = yield* tokens.issue("a")
      yield* tokens.issue("b")
      yield* tokens.issue("c")
      const refused = yield* Effect.flip(tokens.issue("d"))
      assert.strictEqual(refused._tag, "TooManyRequests")
      yield* tokens.take(first)
      yield* tokens.issue("e")
      assert.strictEqual((yield* Effect.flip(tokens.issue("f")))._tag, "TooManyRequests")
      yield* TestClock.adjust("60 seconds")
      yield* tokens.issue("g")
    })
  )
})
