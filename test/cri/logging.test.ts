import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { TestConsole } from "effect/testing"
import { type LogFormat, type LogLevelName, loggingLayer, logLevels } from "../../src/cri/logging.ts"

const linesOf = (level: LogLevelName, format: LogFormat, program: Effect.Effect<void>) =>
  program.pipe(
    Effect.andThen(TestConsole.errorLines),
    Effect.provide(Layer.mergeAll(loggingLayer({ level, format }), Layer.fresh(TestConsole.layer)))
  )

const everything = Effect.all([
  Effect.logTrace("t"),
  Effect.logDebug("d"),
  Effect.logInfo("i"),
  Effect.logWarning("w"),
  Effect.logError("e"),
  Effect.logFatal("f")
]).pipe(Effect.asVoid)

describe("logging", () => {
  it.effect("writes logfmt as logrus does", () =>
    Effect.gen(function* () {
      const program = Effect.logWarning('image "a" is 3% larger').pipe(
        Effect.annotateLogs({ container: "c1", path: "/var/lib", note: "two words", list: ["a"] })
      )
      assert.deepStrictEqual(yield* linesOf("info", "text", program), [
        'time="1970-01-01T00:00:00.000Z" level=warning msg="image \\"a\\" is 3% larger" container=c1 path=/var/lib note="two words" list="[\\"a\\"]"'
      ])
    })
  )

  it.effect("writes one line whatever the text holds", () =>
    Effect.gen(function* () {
      const lines = yield* linesOf("info", "text", Effect.logError("a\nlevel=info msg=forged", new Error("b\nc")))
      assert.lengthOf(lines, 1)
      assert.notInclude(String(lines[0]), "\n")
    })
  )

  it.effect("writes JSON", () =>
    Effect.gen(function* () {
      const [line] = yield* linesOf("info", "json", Effect.annotateLogs(Effect.logInfo("hello"), { pod: "a/b" }))
      assert.deepStrictEqual(JSON.parse(String(line)), {
        time: "1970-01-01T00:00:00.000Z",
        level: "info",
        msg: "hello",
        pod: "a/b"
      })
    })
  )

  it.effect("keeps what is below the level back", () =>
    Effect.gen(function* () {
      const written: Record<string, number> = {}
      for (const level of logLevels) written[level] = (yield* linesOf(level, "text", everything)).length
      assert.deepStrictEqual(written, { fatal: 1, panic: 1, error: 2, warn: 3, info: 4, debug: 5, trace: 6 })
    })
  )

  it.effect("writes to stderr only", () =>
    Effect.gen(function* () {
      yield* everything
      assert.lengthOf(yield* TestConsole.errorLines, 6)
      assert.isEmpty(yield* TestConsole.logLines)
    }).pipe(Effect.provide(Layer.mergeAll(loggingLayer({ level: "trace", format: "text" }), TestConsole.layer)))
  )

  it.effect("log_filter keeps the lines whose message matches, and only looks at the message", () =>
    Effect.gen(function* () {
      yield* Effect.logInfo("pod web is ready")
      yield* Effect.annotateLogs(Effect.logInfo("something else"), { pod: "web" })
      assert.lengthOf(yield* TestConsole.errorLines, 1)
    }).pipe(
      Effect.provide(
        Layer.mergeAll(loggingLayer({ level: "info", format: "text", filter: "^pod .*ready$" }), TestConsole.layer)
      )
    )
  )

  it.effect("lines go to a file instead of standard error", () => {
    const lines: Array<string> = []
    const layer = loggingLayer({ level: "info", format: "json", write: (line) => void lines.push(line) })
    return Effect.gen(function* () {
      yield* Effect.logInfo("pod web is ready")
      assert.deepStrictEqual(yield* TestConsole.errorLines, [])
      assert.deepInclude(JSON.parse(lines.join()), { level: "info", msg: "pod web is ready" })
    }).pipe(Effect.provide(Layer.mergeAll(layer, TestConsole.layer)))
  })
})
