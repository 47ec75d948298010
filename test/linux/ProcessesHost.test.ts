/** What only real processes show: descriptors, signals, sessions, grandchildren, other people's children. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Schedule, Scope, Stream } from "effect"
import { execFile } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { monitorEventLoopDelay, performance } from "node:perf_hooks"
import { promisify } from "node:util"
import { close, dup } from "../../src/linux/internal/native.ts"
import { type ChildFd, Processes } from "../../src/linux/Processes.ts"

const env = { PATH: "/usr/bin:/bin" }
const script = (text: string) => ({ path: "/bin/sh", args: ["-c", text], env })
const openDescriptors = () => readdirSync("/proc/self/fd").length
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString()
const test = (name: string, body: Effect.Effect<void, unknown, Processes | Scope.Scope>) =>
  it.live(name, () => body.pipe(Effect.scoped, Effect.provide(Processes.layer)))

describe("a child", () => {
  test(
    "has the descriptors it was given and no other",
    Effect.gen(function* () {
      const processes = yield* Processes
      const list = { path: "/bin/ls", args: ["/proc/self/fd"], env }
      const child = yield* processes.spawn({ ...list, fds: ["null", "output", "null", "input", "output"] })
      const names = yield* child.output(1).pipe(Stream.decodeText(), Stream.mkString)
      // The last one is the directory that ls itself reads.
      assert.deepStrictEqual(names.trim().split("\n"), ["0", "1", "2", "3", "4", "5"])
    })
  )
  test(
    "does not inherit what somebody opened without O_CLOEXEC",
    Effect.gen(function* () {
      const processes = yield* Processes
      const F_DUPFD = 0
      const leaky = yield* Effect.acquireRelease(
        Effect.sync(() => dup(2, F_DUPFD, 100)),
        (fd) => Effect.sync(() => close(fd))
      )
      const result = yield* processes.run({ path: "/bin/ls", args: ["/proc/self/fd"], env })
      assert.notInclude(text(result.stdout).split("\n"), String(leaky))
    })
  )
  test(
    "gets a pipe at a high descriptor, although ours has the number of a lower one",
    Effect.gen(function* () {
      const processes = yield* Processes
      const fds: ReadonlyArray<ChildFd> = [...Array<ChildFd>(60).fill("null"), "output"]
      const child = yield* processes.spawn({ path: "/bin/bash", args: ["-c", "echo here >&60"], env, fds })
      assert.strictEqual(yield* child.output(60).pipe(Stream.decodeText(), Stream.mkString), "here\n")
    })
  )
  test(
    "finds pipes at any descriptor, in both directions",
    Effect.gen(function* () {
      const processes = yield* Processes
      const copy = script('read line <&4; echo "$line" >&3; exec 3>&-; exec sleep 5')
      const child = yield* processes.spawn({ ...copy, fds: ["null", "null", "null", "output", "input"] })
      yield* child.write(4, Buffer.from("over and out\n"))
      assert.strictEqual(yield* child.output(3).pipe(Stream.decodeText(), Stream.mkString), "over and out\n")
    })
  )
  test(
    "has every signal at its default although Node ignores SIGPIPE",
    Effect.gen(function* () {
      const processes = yield* Processes
      const result = yield* processes.run(script("kill -PIPE $$"))
      assert.deepStrictEqual([result.code, result.signal], [null, 13])
    })
  )
  test(
    "leads a session of its own only when asked to",
    Effect.gen(function* () {
      const processes = yield* Processes
      const sleep = { path: "/bin/sleep", args: ["100"], env, fds: [] }
      const own = yield* processes.spawn({ ...sleep, newSession: true })
      const ours = yield* processes.spawn(sleep)
      const session = Effect.fnUntraced(function* (pid: number) {
        return Option.getOrThrow(yield* processes.find(pid)).session
      })
      assert.strictEqual(yield* session(own.identity.pid), own.identity.pid)
      assert.strictEqual(yield* session(ours.identity.pid), yield* session(process.pid))
    })
  )
  test(
    "that it has double-forked survives its scope",
    Effect.gen(function* () {
      const processes = yield* Processes
      const scope = yield* Scope.make()
      const daemon = script("(setsid sleep 100 >/dev/null & echo $!) ; exit 0")
      const child = yield* Scope.provide(processes.spawn({ ...daemon, fds: ["null", "output", "null"] }), scope)
      const pid = Number(yield* child.output(1).pipe(Stream.decodeText(), Stream.mkString))
      yield* child.exit
      yield* Scope.close(scope, Exit.void)
      const orphan = Option.getOrThrow(yield* processes.find(pid))
      yield* Effect.sleep("20 millis")
      assert.isTrue(yield* processes.signal(orphan, 9))
      yield* processes.awaitEnd(orphan)
    })
  )
  test(
    "that leaves its outputs to a grandchild does not hold run for ever",
    Effect.gen(function* () {
      const processes = yield* Processes
      const started = performance.now()
      const result = yield* processes.run(script("sleep 100 & echo $!"))
      assert.isBelow(performance.now() - started, 4000)
      const left = Option.getOrThrow(yield* processes.find(Number(text(result.stdout))))
      assert.isTrue(yield* processes.signal(left, 9))
    })
  )
  test(
    "waits while nobody reads its output",
    Effect.gen(function* () {
      const processes = yield* Processes
      const child = yield* processes.spawn({ path: "/usr/bin/yes", args: [], env, fds: ["null", "output", "null"] })
      const size = yield* child.output(1).pipe(
        Stream.tap(() => Effect.sleep("20 millis")),
        Stream.take(5),
        Stream.runFold(
          () => 0,
          (sum, chunk) => sum + chunk.length
        )
      )
      assert.isBelow(size, 2_000_000)
      // Our end is closed now, so it gets SIGPIPE.
      assert.strictEqual((yield* child.exit).signal, 13)
    })
  )
})

describe("many children", () => {
  test(
    "300 one after the other leave no descriptor behind",
    Effect.gen(function* () {
      const processes = yield* Processes
      yield* processes.run({ path: "/bin/true", args: [], env })
      const before = openDescriptors()
      const delay = monitorEventLoopDelay({ resolution: 1 })
      delay.enable()
      const times: Array<number> = []
      for (let index = 0; index < 300; index++) {
        const started = performance.now()
        yield* processes
          .run({ path: index % 10 === 0 ? "/no/such/program" : "/bin/true", args: [], env })
          .pipe(Effect.exit)
        times.push(performance.now() - started)
      }
      delay.disable()
      assert.strictEqual(openDescriptors(), before)
      times.sort((a, b) => a - b)
      const ms = (value: number) => value.toFixed(2)
      process.stdout.write(
        `run of /bin/true: median ${ms(times[150]!)} ms, min ${ms(times[0]!)} ms; event loop p99 ${ms(delay.percentile(99) / 1e6)} ms, max ${ms(delay.max / 1e6)} ms\n`
      )
    })
  )
  test(
    "50 at once keep their outputs and exits apart",
    Effect.gen(function* () {
      const processes = yield* Processes
      const results = yield* Effect.forEach(
        Array.from({ length: 50 }, (_, index) => index),
        (index) => processes.run({ ...script(`cat; exit ${index}`), stdin: Buffer.from(`input ${index}`) }),
        { concurrency: "unbounded" }
      )
      for (const [index, result] of results.entries()) {
        assert.deepStrictEqual([result.code, text(result.stdout)], [index, `input ${index}`])
      }
    })
  )
  test(
    "live beside those that Node itself starts",
    Effect.gen(function* () {
      const processes = yield* Processes
      const nodes = Effect.promise(() => promisify(execFile)("/bin/sh", ["-c", "sleep 0.05; echo node"]))
      const ours = processes.run(script("sleep 0.05; echo ours; exit 4"))
      const [theirs, mine] = yield* Effect.all(
        [
          Effect.all(Array(10).fill(nodes) as Array<typeof nodes>, { concurrency: 10 }),
          Effect.all(Array(10).fill(ours) as Array<typeof ours>, { concurrency: 10 })
        ],
        { concurrency: 2 }
      )
      assert.deepStrictEqual(new Set(theirs.map((result) => result.stdout)), new Set(["node\n"]))
      assert.deepStrictEqual(new Set(mine.map((result) => result.code)), new Set([4]))
    })
  )
  test(
    "50 waits for an end need no threads and leave nothing",
    Effect.gen(function* () {
      const processes = yield* Processes
      const child = yield* processes.spawn({ path: "/bin/sleep", args: ["100"], env, fds: [] })
      const before = openDescriptors()
      const threads = () => readdirSync("/proc/self/task").length
      const threadsBefore = threads()
      const waits = yield* Effect.forEach(Array.from({ length: 50 }), () =>
        Effect.forkChild(processes.awaitEnd(child.identity), { startImmediately: true })
      )
      yield* Effect.sleep("20 millis")
      assert.strictEqual(threads(), threadsBefore)
      yield* Fiber.interruptAll(waits.slice(0, 25))
      yield* processes.signal(child.identity, 9)
      yield* Effect.forEach(waits.slice(25), (wait) => Fiber.join(wait))
      assert.strictEqual(openDescriptors(), before)
    })
  )
})

describe("the process table", () => {
  test(
    "a process whose first thread has ended is not taken for dead",
    Effect.gen(function* () {
      const processes = yield* Processes
      const native = new URL("../../src/linux/internal/native.ts", import.meta.url).pathname
      // exit(2) ends the calling thread only; a worker of Node goes on.
      const leaderEnds = `
        const { createRequire } = require("node:module")
        const koffi = createRequire(${JSON.stringify(native)})("koffi")
        const { Worker } = require("node:worker_threads")
        new Worker("setTimeout(() => process.kill(process.pid, 9), 1000)", { eval: true })
        setTimeout(() => koffi.load(null).func("long syscall(long, long)")(${process.arch === "x64" ? 60 : 93}, 0), 300)`
      const child = yield* processes.spawn({ path: process.execPath, args: ["-e", leaderEnds], env, fds: ["null"] })
      const status = `/proc/${child.identity.pid}/status`
      yield* Effect.sync(() => /State:\tZ/.test(readFileSync(status, "utf8"))).pipe(
        Effect.repeat({ until: (zombie) => zombie, schedule: Schedule.spaced("10 millis") }),
        Effect.timeout("5 seconds")
      )
      assert.strictEqual(Option.getOrThrow(yield* processes.find(child.identity.pid)).state, "S")
      assert.isTrue(yield* processes.signal(child.identity, 0))
      yield* processes.awaitEnd(child.identity)
      assert.isFalse(yield* processes.signal(child.identity, 0))
    })
  )
  test(
    "reading it all does not hold the event loop",
    Effect.gen(function* () {
      const processes = yield* Processes
      const started = performance.now()
      const found = yield* processes.list
      process.stdout.write(`list of ${found.length} processes: ${(performance.now() - started).toFixed(1)} ms\n`)
      assert.isTrue(found.some((info) => info.pid === process.pid))
    })
  )
})
