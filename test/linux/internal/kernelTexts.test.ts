/** Files of the kernel that stay open from reading to reading. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { TestClock } from "effect/testing"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { readdirSync, readFileSync, readlinkSync } from "node:fs"
import { type KernelTexts, makeKernelTexts } from "../../../src/linux/internal/kernelTexts.ts"

const openCount = (path: string): number =>
  readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === path
    } catch {
      return false
    }
  }).length

const rest = "30 seconds"

const readOne = ({ read }: KernelTexts, path: string, keepOpen = true) =>
  Effect.map(read([path], keepOpen), ([text]) => text)

const own = `/proc/${process.pid}/status`

describe("texts of the kernel", () => {
  it.live("are as they are now, also from an open file", () =>
    Effect.gen(function* () {
      const texts = yield* makeKernelTexts
      const child = spawn("sleep", ["60"], { stdio: "ignore" })
      const path = `/proc/${child.pid}/stat`
      const state = Effect.map(readOne(texts, path), (text) => text?.split(") ")[1]?.charAt(0) ?? "")
      assert.match(yield* state, /[RS]/)
      child.kill("SIGSTOP")
      yield* Effect.repeat(Effect.delay(state, "5 millis"), { until: (now) => now === "T", times: 1000 })
      assert.strictEqual(yield* state, "T")
      assert.strictEqual(openCount(path), 1)
      const ended = once(child, "exit")
      child.kill("SIGKILL")
      yield* Effect.promise(() => ended)
      assert.isUndefined(yield* readOne(texts, path))
      assert.isUndefined(yield* readOne(texts, path))
      // /proc shows the file of a process that has gone with a word behind its name.
      assert.strictEqual(openCount(path) + openCount(`${path} (deleted)`), 0)
    })
  )

  it.effect("are whole, however long", () =>
    Effect.gen(function* () {
      const texts = yield* makeKernelTexts
      // Many records, more than a page in all.
      const path = "/proc/kallsyms"
      const names = (text: string | undefined) => (text ?? "").split("\n").slice(0, 20_000)
      const expected = names(readFileSync(path, "utf8"))
      assert.isTrue(expected.length > 1000)
      assert.deepStrictEqual(names(yield* readOne(texts, path)), expected)
      assert.deepStrictEqual(names(yield* readOne(texts, path)), expected)
      const limits = readFileSync("/proc/self/limits", "utf8")
      assert.strictEqual(yield* readOne(texts, "/proc/self/limits"), limits)
    })
  )

  it.effect("are closed with their directory", () =>
    Effect.gen(function* () {
      const texts = yield* makeKernelTexts
      yield* readOne(texts, own)
      yield* texts.close(`/proc/${process.pid}0`)
      assert.strictEqual(openCount(own), 1)
      yield* texts.close(`/proc/${process.pid}`)
      assert.strictEqual(openCount(own), 0)
    })
  )

  it.effect("are closed when nobody reads them any more, also what was opened after that", () =>
    Effect.gen(function* () {
      const texts = yield* makeKernelTexts
      for (let round = 0; round < 2; round++) {
        yield* readOne(texts, own)
        yield* readOne(texts, own)
        assert.strictEqual(openCount(own), 1)
        yield* TestClock.adjust(rest)
        yield* readOne(texts, own)
        yield* TestClock.adjust(rest)
        assert.strictEqual(openCount(own), 1)
        yield* TestClock.adjust(rest)
        assert.strictEqual(openCount(own), 0)
      }
    })
  )

  it.effect("are closed with their scope, at once, also when they were asked for where nothing is interrupted", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const texts = yield* Effect.provideService(makeKernelTexts, Scope.Scope, scope)
      const others = yield* makeKernelTexts
      yield* Effect.uninterruptible(readOne(texts, own))
      yield* readOne(others, own)
      assert.strictEqual(openCount(own), 2)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(openCount(own), 1)
      // Whoever is last to leave may still read.
      assert.match((yield* readOne(texts, own)) ?? "", /^Name:/)
      assert.strictEqual(openCount(own), 1)
    })
  )

  it.effect("are left closed where nobody asks for more", () =>
    Effect.gen(function* () {
      const texts = yield* makeKernelTexts
      assert.match((yield* readOne(texts, own, false)) ?? "", /^Name:/)
      assert.strictEqual(openCount(own), 0)
      assert.match((yield* Effect.flip(readOne(texts, "/proc/self/fd"))).message, /EISDIR/)
      assert.strictEqual(openCount(`/proc/${process.pid}/fd`), 0)
    })
  )
})
