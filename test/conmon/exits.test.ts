import { assert, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Option, Stream } from "effect"
import { TestClock } from "effect/testing"
import { mkdirSync, renameSync, rmSync, unlinkSync, utimesSync, writeFileSync } from "node:fs"
import { readExitFiles, watchExits } from "../../src/conmon/internal/exits.ts"
import { Files } from "../../src/linux/Files.ts"
import { makeWorld } from "./fakeConmon.ts"

const setUp = Effect.gen(function* () {
  const { request } = yield* makeWorld
  mkdirSync(request.exitDirectory)
  mkdirSync(request.persistDirectory)
  const files = Context.get(yield* Layer.build(Files.layer), Files)
  return { request, files, exits: request.exitDirectory }
})

const seenOf = Effect.fnUntraced(function* (files: Files["Service"], directory: string) {
  const seen: Array<string> = []
  const fiber = yield* watchExits(files, directory).pipe(
    Stream.runForEach((id) => Effect.sync(() => void seen.push(id))),
    Effect.forkScoped({ startImmediately: true })
  )
  return { seen, fiber }
})

const settle = Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 100)))

it.live("each exit is told once, and again only after its file was gone", () =>
  Effect.gen(function* () {
    const { files, exits } = yield* setUp
    writeFileSync(`${exits}/early`, "0")
    writeFileSync(`${exits}/half.AB12CD`, "")
    const { seen, fiber } = yield* seenOf(files, exits)
    yield* settle
    writeFileSync(`${exits}/late.XX12YY`, "0")
    renameSync(`${exits}/late.XX12YY`, `${exits}/late`)
    utimesSync(`${exits}/early`, 1, 1)
    yield* settle
    assert.deepStrictEqual(seen, ["early", "late"])
    unlinkSync(`${exits}/early`)
    yield* settle
    writeFileSync(`${exits}/early`, "1")
    yield* settle
    assert.deepStrictEqual(seen, ["early", "late", "early"])
    yield* Fiber.interrupt(fiber)
  })
)

it.effect("what the watch has missed is found within five seconds", () =>
  Effect.gen(function* () {
    const { files, exits } = yield* setUp
    const { seen } = yield* seenOf({ ...files, watch: () => Stream.never }, exits)
    yield* settle
    writeFileSync(`${exits}/missed`, "0")
    yield* settle
    assert.deepStrictEqual(seen, [])
    yield* TestClock.adjust("5 seconds")
    yield* settle
    assert.deepStrictEqual(seen, ["missed"])
  })
)

it.effect("a directory that goes and comes back is watched again", () =>
  Effect.gen(function* () {
    const { files, exits } = yield* setUp
    const { seen } = yield* seenOf(files, exits)
    yield* settle
    rmSync(exits, { recursive: true })
    yield* settle
    mkdirSync(exits)
    yield* TestClock.adjust("1 second")
    yield* settle
    writeFileSync(`${exits}/back`, "0")
    yield* settle
    assert.deepStrictEqual(seen, ["back"])
  })
)

it.effect("exit code, time and memory", () =>
  Effect.gen(function* () {
    const { files, request, exits } = yield* setUp
    const read = readExitFiles(files, request)
    assert.isTrue(Option.isNone(yield* read))
    writeFileSync(`${request.persistDirectory}/exit`, "137")
    utimesSync(`${request.persistDirectory}/exit`, 1_700_000_000.25, 1_700_000_000.25)
    assert.deepStrictEqual(
      yield* read,
      Option.some({ code: 137, finishedAtNs: 1_700_000_000_250_000_000n, oomKilled: false })
    )
    writeFileSync(`${request.persistDirectory}/oom`, "")
    writeFileSync(`${exits}/c0ffee`, "0\n")
    const both = Option.getOrThrow(yield* read)
    assert.strictEqual(both.code, 0)
    assert.isTrue(both.oomKilled)
    for (const text of ["", "seven", "1 2", "99999"]) {
      writeFileSync(`${exits}/c0ffee`, text)
      assert.include((yield* Effect.flip(read)).message, `holds ${JSON.stringify(text)}`)
    }
  })
)
