import { assert, describe, it } from "@effect/vitest"
import { Effect, Random, Result } from "effect"
import { digestOf, hexOf, parseDigest } from "../../src/model/Digest.ts"
import { generateId, isId } from "../../src/model/Id.ts"

const hex = "a".repeat(64)

describe("Digest", () => {
  it("accepts sha256 with 64 lower-case digits", () => {
    const digest = Result.getOrThrow(parseDigest(`sha256:${hex}`))
    assert.strictEqual(hexOf(digest), hex)
  })

  it.each([
    ["", 'expected "algorithm:hex"'],
    [hex, 'expected "algorithm:hex"'],
    ["sha256:abc", "found 3 characters"],
    [`sha256:${"A".repeat(64)}`, "lower-case"],
    [`sha256:${hex}\n`, "found 65 characters"],
    [`sha512:${hex}${hex}`, '"sha512" is not supported'],
    ["sha256:../../../../../../etc/passwd", "found 28 characters"]
  ])("refuses %j and says why", (text, reason) => {
    const result = parseDigest(text)
    assert.isTrue(Result.isFailure(result))
    if (Result.isFailure(result)) assert.include(result.failure.message, reason)
  })

  it("hashes bytes", () => {
    assert.strictEqual(
      digestOf(new TextEncoder().encode("abc")),
      "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
  })
})

describe("Id", () => {
  it.effect("is 64 hex digits, new each time, and equal under an equal seed", () =>
    Effect.gen(function* () {
      const [one, two] = [yield* generateId, yield* generateId]
      assert.isTrue(isId(one) && isId(two))
      assert.notStrictEqual(one, two)
      const seeded = Random.withSeed(generateId, "seed")
      assert.strictEqual(yield* seeded, yield* seeded)
    })
  )
})
