/** Clients at the attach socket of the real conmon. Needs root. */
import { assert, describe } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Scope, Stream } from "effect"
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import type { Attachment } from "../../../src/conmon/Conmon.ts"
import { type Bench, type BundleChanges, runtimes } from "./bundles.ts"
import { create, ended, testsWith } from "./containers.ts"

const everything = { stdout: true, stderr: true }
const bytes = (text: string) => Buffer.from(text)

const run = (bench: Bench, script: string, changes?: BundleChanges) => create(bench, ["/bin/sh", "-c", script], changes)

/** Collects a stream; `until` waits for a text in it. */
const follow = Effect.fnUntraced(function* (stream: Attachment["stdout"]) {
  let text = ""
  const reading = yield* stream.pipe(
    Stream.runForEach((part) =>
      Effect.sync(() => {
        text += Buffer.from(part).toString()
      })
    ),
    Effect.forkScoped({ startImmediately: true })
  )
  const until = Effect.fnUntraced(function* (wanted: string) {
    for (let round = 0; round < 1000; round++) {
      if (text.includes(wanted)) return
      yield* Effect.sleep("10 millis")
    }
    return yield* Effect.die(new Error(`no ${JSON.stringify(wanted)} in ${JSON.stringify(text)}`))
  })
  return { text: () => text, until, end: Fiber.join(reading) }
})

describe.each(runtimes)("attach with $name", (runtime) => {
  const test = testsWith(runtime)
  const interactive = { stdin: true, leaveStdinOpen: true }

  test("input goes in, both outputs come out apart, and the end is told", (bench) =>
    Effect.gen(function* () {
      const script =
        'while read line; do [ "$line" = end ] && exit 4; echo "out $line"; echo "err $line" >&2; done; exit 9'
      const { conmon, request, start } = yield* run(bench, script, interactive)
      const attachment = yield* conmon.attach({ ...request, ...everything })
      const [stdout, stderr] = [yield* follow(attachment.stdout), yield* follow(attachment.stderr)]
      yield* start
      yield* attachment.write(bytes("one\n"))
      yield* stdout.until("out one\n")
      yield* attachment.write(bytes("two\nend\n"))
      yield* attachment.ended.pipe(Effect.timeout("30 seconds"))
      yield* stdout.end
      yield* stderr.end
      assert.strictEqual(stdout.text(), "out one\nout two\n")
      assert.strictEqual(stderr.text(), "err one\nerr two\n")
      assert.strictEqual((yield* ended(request)).code, 4)
      assert.strictEqual((yield* Effect.flip(conmon.attach({ ...request, ...everything }))).kind, "Gone")
    }))

  test("one client leaves, another comes: the container's input stays open", (bench) =>
    Effect.gen(function* () {
      const { conmon, request, start } = yield* run(bench, 'while read line; do echo "got $line"; done', interactive)
      yield* start
      for (const name of ["first", "second"]) {
        const scope = yield* Scope.make()
        const attachment = yield* Scope.provide(conmon.attach({ ...request, ...everything }), scope)
        const stdout = yield* follow(attachment.stdout)
        yield* attachment.write(bytes(`${name}\n`))
        yield* stdout.until(`got ${name}\n`)
        // No output of an earlier client's time.
        assert.strictEqual(stdout.text(), `got ${name}\n`)
        yield* attachment.endWrite
        yield* Scope.close(scope, Exit.void)
      }
      assert.isTrue(Option.isNone(yield* conmon.readExit(request)))
    }))

  test("stdin_once: the first client that ends its input ends the container's", (bench) =>
    Effect.gen(function* () {
      const once = { stdin: true, leaveStdinOpen: false }
      const { conmon, request, start } = yield* run(bench, "cat; echo over; exit 3", once)
      yield* start
      const attachment = yield* conmon.attach({ ...request, ...everything })
      const stdout = yield* follow(attachment.stdout)
      yield* attachment.write(bytes("words\n"))
      yield* attachment.endWrite
      yield* stdout.until("words\nover\n")
      assert.strictEqual((yield* ended(request)).code, 3)
    }))

  test("a lot of input waits for a container that reads slowly, and arrives whole", (bench) =>
    Effect.gen(function* () {
      const { conmon, request, start } = yield* run(bench, "sleep 1; head -c 3000000 | md5sum", interactive)
      yield* start
      const attachment = yield* conmon.attach({ ...request, ...everything })
      const stdout = yield* follow(attachment.stdout)
      const input = Buffer.alloc(3_000_000)
      for (let index = 0; index < input.length; index++) input[index] = index % 251
      yield* attachment.write(input)
      yield* attachment.ended.pipe(Effect.timeout("60 seconds"))
      yield* stdout.end
      assert.strictEqual(stdout.text(), `${createHash("md5").update(input).digest("hex")}  -\n`)
    }))

  test("a terminal: its size is changed by the monitor, and there is one output", (bench) =>
    Effect.gen(function* () {
      const terminal = { ...interactive, terminal: true }
      const { conmon, request, start } = yield* run(bench, "while read line; do eval $line; done", terminal)
      yield* start
      const attachment = yield* conmon.attach({ ...request, ...everything })
      const stdout = yield* follow(attachment.stdout)
      yield* conmon.resize({ ...request, width: 111, height: 44 })
      // The monitor changes the size when it comes to it.
      for (let round = 0; round < 100 && !stdout.text().includes("44 111"); round++) {
        yield* attachment.write(bytes("stty size; echo told >&2\n"))
        yield* Effect.sleep("50 millis")
      }
      yield* stdout.until("44 111\r\ntold\r\n")
    }))

  test("a client that reads nothing holds nobody up: 100 MiB are in the log, most of them not in memory", (bench) =>
    Effect.gen(function* () {
      const size = 100 * 1024 * 1024
      const script = `read go; head -c ${size} /dev/zero | tr '\\0' '\\141'; echo; echo done >&2`
      const { conmon, request, start } = yield* run(bench, script, interactive)
      yield* start
      const idle = yield* conmon.attach({ ...request, ...everything })
      const other = yield* conmon.attach({ ...request, stdout: false, stderr: true })
      const stderr = yield* follow(other.stderr)
      yield* other.write(bytes("go\n"))
      yield* stderr.until("done\n")
      assert.strictEqual((yield* ended(request)).code, 0)
      yield* idle.ended
      assert.isAbove(yield* idle.dropped, 90 * 1024 * 1024)
      assert.strictEqual(yield* other.dropped, 0)
      const kept = yield* Stream.runFold(
        idle.stdout,
        () => 0,
        (sum, part) => sum + part.length
      )
      assert.isAtMost(kept, 1024 * 1024)
      assert.strictEqual(kept + (yield* idle.dropped), size + 1)
      let logged = 0
      for (const line of readFileSync(request.logPath, "latin1").split("\n")) {
        if (line.includes(" stdout ")) logged += line.length - line.indexOf(" stdout ") - " stdout F ".length
      }
      assert.strictEqual(logged, size)
    }))
})
