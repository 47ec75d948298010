/** Commands with their streams, on pipes and on terminals, by real crun and runc. Needs root. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Result, Scope, Stream } from "effect"
import { readdirSync, readFileSync } from "node:fs"
import { afterAll, beforeAll } from "vitest"
import { OciRuntime, type RunningExec } from "../../../src/oci/OciRuntime.ts"
import { execProcess } from "../../../src/oci/spec/execProcess.ts"
import { layerOf, root, runtimes, setUp, type Started, start, tearDown } from "./bench.ts"

beforeAll(setUp)
afterAll(tearDown)

let count = 0
const request = ({ spec }: Started, terminal: boolean, ...command: ReadonlyArray<string>) => {
  const execId = `stream-${process.pid}-${count++}`
  const container = spec.process
  return {
    execId,
    process: Result.getOrThrow(execProcess({ container, command, terminal, execId, size: { width: 99, height: 33 } })),
    stdin: true
  }
}

const exec = Effect.fnUntraced(function* (container: Started, terminal: boolean, ...command: ReadonlyArray<string>) {
  return yield* (yield* OciRuntime).exec(container.handler, container.id, request(container, terminal, ...command))
})

/** What it says, collected while it is used. */
const listen = Effect.fnUntraced(function* ({ stdout }: RunningExec) {
  let text = ""
  const reading = yield* stdout.pipe(
    Stream.decodeText,
    Stream.runForEach((part) =>
      Effect.sync(() => {
        text += part
      })
    ),
    Effect.forkScoped({ startImmediately: true })
  )
  const until = Effect.fnUntraced(function* (pattern: RegExp) {
    for (let round = 0; round < 1000; round++) {
      if (pattern.test(text)) return
      yield* Effect.sleep("10 millis")
    }
    return yield* Effect.die(new Error(`no ${pattern} in ${JSON.stringify(text)}`))
  })
  return { text: () => text, until, end: Fiber.join(reading) }
})

/** Command lines of living processes that contain a text. */
const alive = (text: string): number =>
  readdirSync("/proc").filter((name) => {
    try {
      const command = readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ")
      return /^\d+$/.test(name) && command.includes(text) && !command.includes("vitest")
    } catch {
      return false
    }
  }).length

const bytes = (text: string) => Buffer.from(text)

describe.each(runtimes)("%s", (name) => {
  const layer = layerOf(name)
  const test = (title: string, body: (container: Started) => Effect.Effect<void, unknown, OciRuntime | Scope.Scope>) =>
    it.live(
      title,
      () => Effect.flatMap(start(["/bin/sleep", "1000"]), body).pipe(Effect.scoped, Effect.provide(layer)),
      60_000
    )

  test("pipes: input, both outputs, the end of the input, the exit code", (container) =>
    Effect.gen(function* () {
      const running = yield* exec(container, false, "/bin/sh", "-c", "cat; echo told >&2; exit 5")
      const output = yield* listen(running)
      const errors = yield* Effect.forkScoped(Stream.mkString(Stream.decodeText(running.stderr)))
      yield* running.write(bytes("first\n"))
      yield* output.until(/first\n/)
      const large = Buffer.alloc(1_000_000, "x")
      yield* running.write(large)
      yield* running.closeStdin
      assert.strictEqual(yield* running.exit, 5)
      yield* output.end
      assert.strictEqual(output.text().length, "first\n".length + large.length)
      assert.strictEqual(yield* Fiber.join(errors), "told\n")
    }))

  test("a command finds its standard descriptors and no others", (container) =>
    Effect.gen(function* () {
      const running = yield* exec(container, false, "/bin/ls", "/proc/self/fd")
      const output = yield* listen(running)
      assert.strictEqual(yield* running.exit, 0)
      yield* output.end
      // The fourth is the directory that ls reads.
      assert.deepStrictEqual(output.text().trim().split("\n"), ["0", "1", "2", "3"])
    }))

  test("a terminal: its size from the start and as it changes, TERM, the exit code", (container) =>
    Effect.gen(function* () {
      const running = yield* exec(container, true, "/bin/sh", "-c", "while read line; do eval $line; done")
      const output = yield* listen(running)
      yield* running.write(bytes("stty size; echo TERM is $TERM; tty\n"))
      yield* output.until(/33 99\r\n.*TERM is xterm\r\n\/dev\/(pts\/\d+|console)/s)
      yield* running.resize({ width: 111, height: 44 })
      yield* running.write(bytes("stty size\n"))
      yield* output.until(/44 111\r\n/)
      yield* running.write(bytes("exit 6\n"))
      assert.strictEqual(yield* running.exit, 6)
      yield* output.end
      assert.strictEqual(yield* Stream.mkString(Stream.decodeText(running.stderr)), "")
    }))

  test("the whole of what a short command writes to a terminal arrives", (container) =>
    Effect.gen(function* () {
      for (let round = 0; round < 5; round++) {
        const running = yield* exec(container, true, "/bin/sh", "-c", "seq 1 2000; exit 3")
        const output = yield* listen(running)
        assert.strictEqual(yield* running.exit, 3)
        yield* output.end
        assert.match(output.text(), /\r\n1999\r\n2000\r\n$/)
      }
    }))

  test("a program that is not there is told, with a terminal and without", (container) =>
    Effect.gen(function* () {
      for (const terminal of [false, true]) {
        const started = yield* Effect.exit(exec(container, terminal, "/no/such/program"))
        // With crun's terminal the start itself fails.
        const failure = yield* Exit.isSuccess(started) ? Effect.flip(started.value.exit) : Effect.flip(started)
        assert.match(String(failure), /no such file|not found/i)
      }
    }))

  test("closing the scope ends a command with all it has started", (container) =>
    Effect.gen(function* () {
      for (const [terminal, mark] of [
        [false, "sleep 981"],
        [true, "sleep 982"]
      ] as const) {
        const scope = yield* Scope.make()
        const script = `(setsid ${mark} </dev/null >/dev/null 2>&1 &); ${mark}`
        yield* Scope.provide(exec(container, terminal, "/bin/sh", "-c", script), scope)
        for (let round = 0; round < 500 && alive(mark) < 2; round++) yield* Effect.sleep("10 millis")
        assert.isAbove(alive(mark), 1)
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(alive(mark), 0)
      }
      const [own = "", ...others] = readdirSync(`${root}/exec`)
      assert.deepStrictEqual([readdirSync(`${root}/exec/${own}`), others], [[], []])
    }))

  test("a terminal that nobody reads holds its command back, not the others", (container) =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      yield* Scope.provide(exec(container, true, "/bin/sh", "-c", "while :; do echo full; done"), scope)
      yield* Effect.sleep("300 millis")
      const other = yield* exec(container, true, "/bin/true")
      assert.strictEqual(yield* other.exit, 0)
      yield* Scope.close(scope, Exit.void)
    }))
})
