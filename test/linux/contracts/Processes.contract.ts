/** What every layer of Processes does alike. */
import { assert, describe } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Scope, Stream } from "effect"
import type { Files } from "../../../src/linux/Files.ts"
import { type ChildFd, Processes } from "../../../src/linux/Processes.ts"
import { codeOf, type Environment, type Program, type Programs, testsIn } from "./environment.ts"

export interface ProcessEnvironment extends Environment<Processes | Files> {
  readonly programs: Programs
}

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString()
const fds: ReadonlyArray<ChildFd> = ["input", "output", "null"]
const env = { PATH: "/usr/bin:/bin" }

export const processesContract = (name: string, environment: ProcessEnvironment): void => {
  const test = testsIn(environment)
  const { programs } = environment
  const run = Effect.fnUntraced(function* (program: Program, more: { stdin?: Uint8Array; maxOutput?: number } = {}) {
    return yield* (yield* Processes).run({ ...program, env: {}, ...more })
  })
  const spawn = Effect.fnUntraced(function* (program: Program) {
    return yield* (yield* Processes).spawn({ ...program, env: {}, fds })
  })

  describe(`Processes, ${name}`, () => {
    describe("run", () => {
      test("gives the exit code", () =>
        Effect.gen(function* () {
          for (const code of [0, 1, 255]) {
            const result = yield* run(programs.exit(code))
            assert.deepStrictEqual([result.code, result.signal], [code, null])
          }
        }))
      test("collects both outputs apart", () =>
        Effect.gen(function* () {
          const result = yield* run(programs.print("to stdout", "to stderr"))
          assert.deepStrictEqual([text(result.stdout), text(result.stderr)], ["to stdout", "to stderr"])
        }))
      test("feeds stdin and closes it; without any the child reads nothing", () =>
        Effect.gen(function* () {
          const input = Buffer.alloc(300_000, "abc")
          assert.isTrue(Buffer.from((yield* run(programs.cat, { stdin: input })).stdout).equals(input))
          assert.strictEqual((yield* run(programs.cat)).stdout.length, 0)
        }))
      test("a child that does not read its stdin is no error", () =>
        Effect.gen(function* () {
          assert.strictEqual((yield* run(programs.exit(3), { stdin: Buffer.alloc(300_000) })).code, 3)
        }))
      test("keeps maxOutput bytes and reads on", () =>
        Effect.gen(function* () {
          const result = yield* run(programs.cat, { stdin: Buffer.alloc(300_000, "x"), maxOutput: 5 })
          assert.deepStrictEqual([text(result.stdout), result.code], ["xxxxx", 0])
        }))
      test("hands over exactly the environment and the working directory", (dir) =>
        Effect.gen(function* () {
          const processes = yield* Processes
          const { stdout } = yield* processes.run({ ...programs.environment, env: { B: "2", A: "one=1" } })
          assert.deepStrictEqual(text(stdout).trim().split("\n").sort(), ["A=one=1", "B=2"])
          const there = yield* processes.run({ ...programs.workingDirectory, env: {}, cwd: dir })
          assert.strictEqual(text(there.stdout), `${dir}\n`)
        }))
      test("tells a missing program and refuses a relative path", () =>
        Effect.gen(function* () {
          assert.strictEqual(yield* codeOf(run({ path: programs.missing, args: [] })), "ENOENT")
          assert.strictEqual(yield* codeOf(run({ path: "relative", args: [] })), "EINVAL")
        }))
      test("interruption kills the child", () =>
        Effect.gen(function* () {
          const processes = yield* Processes
          const before = new Set((yield* processes.list).map((info) => info.pid))
          const running = yield* Effect.forkChild(run(programs.sleep(1000)), { startImmediately: true })
          yield* Effect.sleep("100 millis")
          const found = (yield* processes.list).filter(
            (info) => !before.has(info.pid) && programs.sleep(1000).path.endsWith(info.command)
          )
          assert.isAbove(found.length, 0)
          yield* Fiber.interrupt(running)
          const after = yield* Effect.forEach(found, (info) => processes.find(info.pid))
          assert.isTrue(after.some(Option.isNone))
        }))
    })

    describe("spawn", () => {
      test("pipes: what is written comes back, closing ends the child", () =>
        Effect.gen(function* () {
          const child = yield* spawn(programs.cat)
          yield* child.write(0, Buffer.from("first "))
          yield* child.write(0, Buffer.from("second"))
          yield* child.close(0)
          assert.strictEqual(yield* child.output(1).pipe(Stream.decodeText(), Stream.mkString), "first second")
          assert.deepStrictEqual(yield* child.exit, { code: 0, signal: null })
        }))
      test("descriptors of the wrong direction, closed or read before are refused", () =>
        Effect.gen(function* () {
          const child = yield* spawn(programs.exit(0))
          yield* Stream.runDrain(child.output(1))
          assert.strictEqual(yield* codeOf(Stream.runDrain(child.output(1))), "EBADF")
          assert.strictEqual(yield* codeOf(Stream.runDrain(child.output(0))), "EBADF")
          assert.strictEqual(yield* codeOf(child.write(1, Buffer.from("x"))), "EBADF")
          yield* child.close(0)
          yield* child.close(0)
          assert.strictEqual(yield* codeOf(child.write(0, Buffer.from("x"))), "EBADF")
        }))
      test("writing to a child that has ended is EPIPE", () =>
        Effect.gen(function* () {
          const child = yield* spawn(programs.exit(0))
          yield* child.exit
          assert.strictEqual(yield* codeOf(child.write(0, Buffer.from("x"))), "EPIPE")
        }))
      test("the exit is known to who asks late, and to all who ask", () =>
        Effect.gen(function* () {
          const child = yield* spawn(programs.exit(7))
          yield* Effect.sleep("100 millis")
          assert.deepStrictEqual(yield* Effect.all([child.exit, child.exit], { concurrency: 2 }), [
            { code: 7, signal: null },
            { code: 7, signal: null }
          ])
        }))
      test("closing the scope kills and reaps", () =>
        Effect.gen(function* () {
          const processes = yield* Processes
          const scope = yield* Scope.make()
          const child = yield* Scope.provide(spawn(programs.sleep(1000)), scope)
          assert.isTrue(Option.isSome(yield* processes.find(child.identity.pid)))
          yield* Scope.close(scope, Exit.void)
          assert.deepStrictEqual(yield* child.exit, { code: null, signal: 9 })
          assert.isTrue(Option.isNone(yield* processes.find(child.identity.pid)))
        }))
    })

    describe("what is collected", () => {
      test("is read without being asked for, up to the limit", () =>
        Effect.gen(function* () {
          const child = yield* spawn(programs.cat)
          const output = child.collect(1, 200_000)
          yield* child.write(0, Buffer.alloc(300_000, "abc"))
          yield* child.close(0)
          yield* child.exit
          yield* output.ended
          assert.isTrue(Buffer.from(output.bytes()).equals(Buffer.alloc(200_000, "abc")))
        }))
      test("is not read a second time", () =>
        Effect.gen(function* () {
          const child = yield* spawn(programs.exit(0))
          yield* child.collect(1, 10).ended
          assert.strictEqual(yield* codeOf(child.collect(1, 10).ended), "EBADF")
          assert.strictEqual(yield* codeOf(Stream.runDrain(child.output(1))), "EBADF")
          assert.strictEqual(yield* codeOf(child.collect(0, 10).ended), "EBADF")
        }))
    })

    describe("a terminal", () => {
      const onTerminal = Effect.fnUntraced(function* (program: Program) {
        const child = yield* (yield* Processes).spawn({ ...program, env, fds: ["terminal", "terminal", "terminal"] })
        return { child, terminal: child.terminal! }
      })
      test("has the size it is given and passes bytes as they are; its output ends with the child", () =>
        Effect.gen(function* () {
          const { child, terminal } = yield* onTerminal(programs.terminalSize)
          yield* terminal.resize({ width: 99, height: 33 })
          yield* terminal.write(Buffer.from("x\u0003\n"))
          const said = yield* terminal.output.pipe(Stream.decodeText(), Stream.mkString)
          assert.strictEqual(said, "x\u0003\n33 99\n")
          assert.deepStrictEqual(yield* child.exit, { code: 0, signal: null })
        }))
      test("ends with its scope, and the child with it", () =>
        Effect.gen(function* () {
          const scope = yield* Scope.make()
          const { child, terminal } = yield* Scope.provide(onTerminal(programs.cat), scope)
          const reading = yield* Effect.forkChild(Stream.runDrain(terminal.output), { startImmediately: true })
          yield* Scope.close(scope, Exit.void)
          // The terminal hangs up, then it is killed.
          assert.include([1, 9], (yield* child.exit).signal)
          yield* Fiber.join(reading).pipe(Effect.timeout("5 seconds"))
        }))
      test("there is none without such a descriptor", () =>
        Effect.map(spawn(programs.exit(0)), (child) => assert.isUndefined(child.terminal)))
    })

    describe("a file in memory", () => {
      test("holds what it was given, and nothing else is one", () =>
        Effect.gen(function* () {
          const processes = yield* Processes
          const file = Buffer.alloc(200_000, "abc")
          const child = yield* processes.spawn({
            ...programs.exit(0),
            env: {},
            fds: ["null", "null", "null", { file }]
          })
          yield* child.exit
          assert.isTrue(Buffer.from(yield* child.content(3)).equals(file))
          assert.strictEqual(yield* codeOf(child.content(0)), "EBADF")
        }))
    })

    describe("other processes", () => {
      test("find and list agree about a running child", () =>
        Effect.gen(function* () {
          const processes = yield* Processes
          const child = yield* spawn(programs.sleep(1000))
          const found = Option.getOrThrow(yield* processes.find(child.identity.pid))
          assert.deepStrictEqual({ pid: found.pid, startTime: found.startTime }, child.identity)
          const listed = (yield* processes.list).find((info) => info.pid === found.pid)
          assert.deepStrictEqual([listed?.startTime, listed?.parent], [found.startTime, found.parent])
        }))
      test("a signal ends the right process, and says so", () =>
        Effect.gen(function* () {
          const processes = yield* Processes
          const child = yield* spawn(programs.sleep(1000))
          assert.isTrue(yield* processes.signal(child.identity, 15))
          assert.deepStrictEqual(yield* child.exit, { code: null, signal: 15 })
          assert.isFalse(yield* processes.signal(child.identity, 15))
        }))
      test("a pid with another start time is another process", () =>
        Effect.gen(function* () {
          const processes = yield* Processes
          const child = yield* spawn(programs.sleep(1000))
          const reused = { pid: child.identity.pid, startTime: child.identity.startTime - 1 }
          assert.isFalse(yield* processes.signal(reused, 9))
          yield* processes.awaitEnd(reused)
          assert.isTrue(Option.isSome(yield* processes.find(child.identity.pid)))
        }))
      test("awaitEnd waits for the end, and not after it", () =>
        Effect.gen(function* () {
          const processes = yield* Processes
          const child = yield* spawn(programs.sleep(1000))
          const waiting = yield* Effect.forkChild(processes.awaitEnd(child.identity), { startImmediately: true })
          yield* Effect.sleep("50 millis")
          assert.isUndefined(waiting.pollUnsafe())
          yield* processes.signal(child.identity, 9)
          yield* Fiber.join(waiting).pipe(Effect.timeout("5 seconds"))
          yield* processes.awaitEnd(child.identity)
        }))
      test("awaitEnd can be given up", () =>
        Effect.gen(function* () {
          const processes = yield* Processes
          const child = yield* spawn(programs.sleep(1000))
          const waited = yield* processes.awaitEnd(child.identity).pipe(Effect.timeoutOption("20 millis"))
          assert.isTrue(Option.isNone(waited))
        }))
    })
  })
}
