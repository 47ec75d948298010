import { assert, describe } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Option, Stream } from "effect"
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { Conmon } from "../../../src/conmon/Conmon.ts"
import { deleteContainer, processesAndMountsOf, runtimes } from "./bundles.ts"
import { create, ended, services, testsWith } from "./containers.ts"

const poll = Effect.fnUntraced(function* <A>(what: string, look: () => A | undefined | false) {
  for (let round = 0; round < 400; round++) {
    const seen = look()
    if (seen !== undefined && seen !== false) return seen
    yield* Effect.sleep("25 millis")
  }
  return yield* Effect.die(new Error(`waited 10 s for ${what}`))
})

const lines = (path: string) => readFileSync(path, "utf8").split("\n").slice(0, -1)
const logLine = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}[+-]\d\d:\d\d) (stdout|stderr) ([FP]) (.*)$/

for (const runtime of runtimes) {
  describe(`conmon with ${runtime.name}`, () => {
    const test = testsWith(runtime)

    test("creates, writes the log in the CRI format, and tells exit code and time", (bench) =>
      Effect.gen(function* () {
        const script = "echo out; echo err >&2; printf half; exit 7"
        const { conmon, request, launched, start } = yield* create(bench, ["/bin/sh", "-c", script])
        assert.isTrue(existsSync(`/proc/${launched.pid}`))
        assert.strictEqual(lstatSync(`${bench.root}/logs/${request.containerId}`).mode & 0o777, 0o755)
        assert.deepStrictEqual(yield* conmon.monitor(request), Option.some(launched.monitor))
        assert.isTrue(Option.isNone(yield* conmon.readExit(request)))
        const before = Date.now() - 20
        yield* start
        const exit = yield* ended(request)
        assert.strictEqual(exit.code, 7)
        assert.isFalse(exit.oomKilled)
        const finished = Number(exit.finishedAtNs / 1_000_000n)
        assert.isTrue(before <= finished && finished <= Date.now(), `${before} ${finished}`)
        const parsed = lines(request.logPath).map((line) => (logLine.exec(line) ?? []).slice(2).join("|"))
        assert.deepStrictEqual(parsed.sort(), ["stderr|F|err", "stdout|F|out", "stdout|P|half"])
      }))

    test("reports each exit once, also one from before", (bench) =>
      Effect.gen(function* () {
        const early = yield* create(bench, ["/bin/true"])
        yield* early.start
        yield* ended(early.request)
        const seen: Array<string> = []
        const watching = yield* early.conmon.exits(`${bench.root}/exits`).pipe(
          Stream.runForEach((id) => Effect.sync(() => seen.push(id))),
          Effect.forkChild({ startImmediately: true })
        )
        yield* poll("the early exit", () => seen.includes(early.request.containerId))
        const later = yield* Effect.forEach([1, 2, 3], (code) => create(bench, ["/bin/sh", "-c", `exit ${code}`]))
        yield* Effect.forEach(later, ({ start }) => start)
        yield* poll("three exits", () => seen.length >= 4)
        yield* Effect.sleep("5500 millis")
        yield* Fiber.interrupt(watching)
        const ids = [early, ...later].map(({ request }) => request.containerId)
        assert.deepStrictEqual([...seen].sort(), ids.sort())
      }))

    test("a signal is 128 + its number", (bench) =>
      Effect.gen(function* () {
        const { request, launched, start } = yield* create(bench, ["/bin/sleep", "1000"])
        yield* start
        process.kill(launched.pid, "SIGKILL")
        assert.strictEqual((yield* ended(request)).code, 137)
      }))

    test("knows that memory ran out", (bench) =>
      Effect.gen(function* () {
        // Memory of a tmpfs counts for whoever fills it.
        const hungry = ["/bin/dd", "if=/dev/zero", "of=/tmp/x", "bs=1M", "count=200"]
        const { request, start } = yield* create(bench, hungry, { memory: 32 << 20 })
        yield* start
        const exit = yield* ended(request)
        assert.strictEqual(exit.code, 137)
        yield* poll("the oom file", () => existsSync(`${request.persistDirectory}/oom`))
        assert.isTrue((yield* ended(request)).oomKilled)
      }))

    test("reopens the log under load without losing a line", (bench) =>
      Effect.gen(function* () {
        const count = 150_000
        const script = `i=0; while [ $i -lt ${count} ]; do echo line $i; i=$((i+1)); done`
        const { conmon, request, start } = yield* create(bench, ["/bin/sh", "-c", script])
        yield* start
        const rotated: Array<string> = []
        for (let turn = 0; turn < 4; turn++) {
          yield* poll("some lines", () => statSync(request.logPath).size > 2000)
          if (Option.isSome(yield* conmon.readExit(request))) break
          rotated.push(`${request.logPath}.${turn}`)
          renameSync(request.logPath, `${request.logPath}.${turn}`)
          yield* conmon.reopenLog(request)
          assert.isTrue(lstatSync(request.logPath).isFile())
        }
        assert.isAbove(rotated.length, 1)
        yield* ended(request)
        const text = [...rotated, request.logPath].flatMap(lines).map((line) => {
          const [, , , tag, content] = logLine.exec(line) ?? []
          return tag === "P" ? content : `${content}\n`
        })
        const expected = Array.from({ length: count }, (_, index) => `line ${index}\n`)
        assert.isTrue(text.join("") === expected.join(""), "every line once and in order")
      }))

    test("reopening a log that was not moved keeps it", (bench) =>
      Effect.gen(function* () {
        const { conmon, request, start } = yield* create(bench, ["/bin/sh", "-c", "echo once; sleep 1000"])
        yield* start
        yield* poll("the line", () => lines(request.logPath).length === 1)
        yield* conmon.reopenLog(request)
        assert.include(lines(request.logPath)[0], "once")
      }))

    test("reopening for a dead monitor fails and makes no file", (bench) =>
      Effect.gen(function* () {
        const { conmon, request, start } = yield* create(bench, ["/bin/true"])
        yield* start
        yield* ended(request)
        renameSync(request.logPath, `${request.logPath}.1`)
        yield* poll("conmon's end", () => !processesAndMountsOf(bench.root).some((line) => line.includes("conmon -b")))
        const error = yield* Effect.flip(conmon.reopenLog(request))
        assert.strictEqual(error.kind, "Gone")
        assert.include(error.message, request.containerId)
        assert.isFalse(existsSync(request.logPath))
      }))

    test("reopening ends with the monitor that was asked for it", (bench) =>
      Effect.gen(function* () {
        const { conmon, request, launched, start } = yield* create(bench, ["/bin/sleep", "1000"])
        yield* start
        renameSync(request.logPath, `${request.logPath}.1`)
        process.kill(launched.monitor.pid, "SIGSTOP")
        const fiber = yield* Effect.forkChild(Effect.flip(conmon.reopenLog(request)), { startImmediately: true })
        yield* Effect.sleep("100 millis")
        process.kill(launched.monitor.pid, "SIGKILL")
        assert.strictEqual((yield* Fiber.join(fiber)).kind, "Gone")
        assert.isFalse(existsSync(request.logPath))
      }))

    test("finds a monitor whose pid file was never written", (bench) =>
      Effect.gen(function* () {
        const { conmon, request } = yield* create(bench, ["/bin/sleep", "1000"])
        rmSync(`${request.bundle}/conmon-pidfile`)
        yield* conmon.cleanup(request)
        assert.deepStrictEqual(processesAndMountsOf(bench.root), [])
      }))

    test("gives the runtime's own words when it refuses, and leaves nothing", (bench) =>
      Effect.gen(function* () {
        const conmon = yield* Conmon
        const request = bench.bundle(["/bin/no-such-command"])
        const error = yield* Effect.flip(conmon.launch(request))
        deleteContainer(bench, request)
        assert.strictEqual(error.kind, "Runtime")
        assert.match(error.message, /no-such-command.*(no such file|not found)/i)
        assert.include(error.message, request.containerId)
        const mine = readdirSync(request.bundle).filter((name) => name !== "config.json" && name !== "pidfile")
        assert.deepStrictEqual(mine, [])
        assert.deepStrictEqual(readdirSync(`${bench.root}/sockets`), [])
        assert.isFalse(existsSync(request.logPath))
        assert.deepStrictEqual(processesAndMountsOf(bench.root), [])
      }))

    test("names the runtime that is not there", (bench) =>
      Effect.gen(function* () {
        const conmon = yield* Conmon
        const request = bench.bundle(["/bin/true"], { runtimePath: "/nonexistent/crun" })
        const error = yield* Effect.flip(conmon.launch(request))
        assert.strictEqual(error.kind, "Monitor")
        assert.include(error.message, "/nonexistent/crun")
      }))

    test("writes through no link", (bench) =>
      Effect.gen(function* () {
        const conmon = yield* Conmon
        const victim = `${bench.root}/victim`
        writeFileSync(victim, "precious")
        const request = bench.bundle(["/bin/true"])
        mkdirSync(`${bench.root}/logs/${request.containerId}`, { recursive: true })
        symlinkSync(victim, request.logPath)
        const error = yield* Effect.flip(conmon.launch(request))
        assert.strictEqual(error.kind, "Log")
        assert.include(error.message, "is a symlink")

        const running = yield* create(bench, ["/bin/sleep", "1000"])
        yield* running.start
        renameSync(running.request.logPath, `${running.request.logPath}.1`)
        symlinkSync(victim, `${running.request.logPath}.tmp`)
        assert.strictEqual((yield* Effect.flip(conmon.reopenLog(running.request))).kind, "Log")
        assert.strictEqual(readFileSync(victim, "utf8"), "precious")
      }))

    test("resizes a terminal", (bench) =>
      Effect.gen(function* () {
        const script = "trap 'stty size; exit 3' WINCH; echo ready; while :; do sleep 0.05; done"
        const { conmon, request, start } = yield* create(bench, ["/bin/sh", "-c", script], { terminal: true })
        yield* start
        yield* poll("the trap", () => readFileSync(request.logPath, "utf8").includes("ready"))
        yield* conmon.resize({ ...request, width: 5000, height: 33 })
        assert.strictEqual((yield* ended(request)).code, 3)
        assert.include(readFileSync(request.logPath, "utf8"), "33 1000")
      }))

    test("joins the cgroup that is asked for before the runtime starts", (bench) =>
      Effect.gen(function* () {
        const place = "/ckt-conmon/monitor"
        const directories = ["pids", "memory"].map((controller) => `/sys/fs/cgroup/${controller}${place}`)
        directories.forEach((directory) => mkdirSync(directory, { recursive: true }))
        const { conmon, request, launched } = yield* create(bench, ["/bin/sleep", "1000"], {
          conmonCgroup: directories
        })
        const joined = readFileSync(`/proc/${launched.monitor.pid}/cgroup`, "utf8")
        assert.match(joined, /:pids:\/ckt-conmon\/monitor\n/)
        assert.match(joined, /:memory:\/ckt-conmon\/monitor\n/)
        yield* conmon.cleanup(request)
        directories.forEach((directory) => rmdirSync(directory))

        const lost = bench.bundle(["/bin/true"], { conmonCgroup: ["/sys/fs/cgroup/pids/ckt-conmon/nowhere"] })
        assert.strictEqual((yield* Effect.flip(conmon.launch(lost))).kind, "Monitor")
        assert.isFalse(existsSync(`${lost.bundle}/conmon-pidfile`))
      }))

    test("interrupted at any moment it leaves nothing", (bench) =>
      Effect.gen(function* () {
        const conmon = yield* Conmon
        for (const delay of [0, 1, 2, 4, 6, 8, 10, 14, 20, 30]) {
          const request = bench.bundle(["/bin/sleep", "1000"])
          const fiber = yield* Effect.forkChild(conmon.launch(request), { startImmediately: true })
          yield* Effect.sleep(delay)
          yield* Fiber.interrupt(fiber)
          yield* conmon.cleanup(request)
          yield* Effect.sync(() => deleteContainer(bench, request))
          assert.deepStrictEqual(processesAndMountsOf(bench.root), [], `after ${delay} ms`)
        }
      }))

    test("gives up on a runtime that never ends", (bench) =>
      Effect.gen(function* () {
        const conmon = yield* Conmon
        const stuck = `${bench.root}/stuck`
        writeFileSync(
          stuck,
          `#!/bin/sh\n: ${bench.root}/\nsetsid sh -c ': ${bench.root}/; sleep 1000; :' &\nsleep 1000\n`,
          { mode: 0o755 }
        )
        const request = bench.bundle(["/bin/true"], { runtimePath: stuck, createLimitMs: 500 })
        const error = yield* Effect.flip(conmon.launch(request))
        assert.include(error.message, "within 0.5 s")
        assert.deepStrictEqual(processesAndMountsOf(bench.root), [])
        assert.isTrue(Option.isNone(yield* conmon.monitor(request)))
      }))

    test("survives its launcher and is found again", (bench) =>
      Effect.gen(function* () {
        const { request, launched, start } = yield* create(bench, ["/bin/sleep", "1000"])
        yield* start
        const fresh = Context.get(yield* Layer.build(Layer.fresh(services)), Conmon)
        assert.deepStrictEqual(yield* fresh.monitor(request), Option.some(launched.monitor))
        writeFileSync(`${request.bundle}/conmon-pidfile`, String(process.pid))
        assert.isTrue(Option.isNone(yield* fresh.monitor(request)))
        writeFileSync(`${request.bundle}/conmon-pidfile`, String(launched.monitor.pid))
      }))
  })
}
