import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { setTimeout } from "node:timers/promises"
import { attempt, attemptSteps, codeOf } from "../../../src/linux/internal/attempt.ts"

describe("attemptSteps", () => {
  it.live("interruption stops before the next step and waits for the one in hand", () =>
    Effect.gen(function* () {
      const steps: Array<string> = []
      const running = yield* Effect.forkChild(
        attemptSteps("walk", "tree", async (signal) => {
          for (;;) {
            signal.throwIfAborted()
            steps.push("begin")
            await setTimeout(50)
            steps.push("end")
          }
        }),
        { startImmediately: true }
      )
      yield* Effect.sleep("10 millis")
      yield* Fiber.interrupt(running)
      assert.deepStrictEqual(steps, ["begin", "end"])
    })
  )
})

describe("attempt", () => {
  it.live("is finished when an interruption returns", () =>
    Effect.gen(function* () {
      let finished = false
      const running = yield* Effect.forkChild(
        attempt("x", "y", async () => {
          await setTimeout(50)
          finished = true
        }),
        { startImmediately: true }
      )
      yield* Fiber.interrupt(running)
      assert.isTrue(finished)
    })
  )
  it.effect("tells operation, subject and errno, and keeps the cause", () =>
    Effect.gen(function* () {
      const cause = Object.assign(new Error("no"), { code: "ENOSPC" })
      const error = yield* Effect.flip(attempt("write", "/a", () => Promise.reject(cause)))
      assert.deepStrictEqual([error.message, error.code, error.cause], ["write /a: ENOSPC", "ENOSPC", cause])
    })
  )
})

describe("codeOf", () => {
  it("names errnos that node:fs does not know, and node's own refusals", () => {
    const thrown = (code: string, errno?: number) => Object.assign(new Error(code), { code, errno })
    assert.strictEqual(codeOf(thrown("Unknown system error -117", -117)), "EUCLEAN")
    assert.strictEqual(codeOf(thrown("ERR_INVALID_ARG_VALUE")), "EINVAL")
    assert.strictEqual(codeOf(thrown("EPERM", -1)), "EPERM")
    assert.isUndefined(codeOf(new Error("plain")))
  })
})
