import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { timed } from "../../src/image/internal/backOff.ts"

it.effect("what an effect took does not depend on whether the host's time is set meanwhile", () =>
  Effect.gen(function* () {
    yield* TestClock.adjust("1 hour")
    const effect = Effect.andThen(TestClock.setTime(0), TestClock.adjust("2 seconds"))
    assert.strictEqual((yield* timed(effect))[0], 2000)
  })
)
