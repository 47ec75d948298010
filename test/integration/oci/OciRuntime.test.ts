/** The runtime's commands on real crun and runc. Needs root. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Result } from "effect"
import { readdirSync, readFileSync } from "node:fs"
import { afterAll, beforeAll } from "vitest"
import { OciRuntime } from "../../../src/oci/OciRuntime.ts"
import { execProcess } from "../../../src/oci/spec/execProcess.ts"
import { create, layerOf, runtimes, setUp, type Started, start, tearDown } from "./bench.ts"

beforeAll(setUp)
afterAll(tearDown)

let count = 0
const shell = ({ spec }: Started, ...command: ReadonlyArray<string>) => {
  const execId = `test-${process.pid}-${count++}`
  const container = spec.process
  return { execId, process: Result.getOrThrow(execProcess({ container, command, terminal: false, execId })) }
}

/** Command lines of living processes that contain a text. */
const alive = (text: string): ReadonlyArray<string> =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ")
        return command.includes(text) && !command.includes("vitest") ? [command] : []
      } catch {
        return []
      }
    })

describe.each(runtimes)("%s", (name) => {
  const layer = layerOf(name)

  it.live("create, start, kill, delete; delete and kill of what is gone succeed", () =>
    Effect.gen(function* () {
      const runtime = yield* OciRuntime
      const { handler, id } = yield* create(["/bin/sleep", "1000"])
      assert.strictEqual((yield* runtime.state(handler, id)).status, "created")
      yield* runtime.start(handler, id)
      const running = yield* runtime.state(handler, id)
      assert.strictEqual(running.status, "running")
      assert.isAbove(running.pid, 1)
      const refused = yield* Effect.flip(runtime.delete(handler, id))
      assert.strictEqual(refused._tag, "RuntimeCommandFailed")
      assert.include(refused.message, id)
      assert.isTrue(yield* runtime.kill(handler, id, 9))
      while ((yield* runtime.state(handler, id)).status !== "stopped") yield* Effect.sleep("10 millis")
      assert.isFalse(yield* runtime.kill(handler, id, 9))
      yield* runtime.delete(handler, id)
      yield* runtime.delete(handler, id)
      assert.isFalse(yield* runtime.kill(handler, id, 9))
      assert.strictEqual((yield* Effect.flip(runtime.state(handler, id)))._tag, "RuntimeContainerUnknown")
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("update changes the cgroup's limits", () =>
    Effect.gen(function* () {
      const runtime = yield* OciRuntime
      const { handler, id } = yield* start(["/bin/sleep", "1000"])
      const limit = () => readFileSync(`/sys/fs/cgroup/memory/cricket-oci/${id}/memory.limit_in_bytes`, "utf8").trim()
      assert.strictEqual(limit(), String(256 * 1024 * 1024))
      yield* runtime.update(handler, id, { memory: { limit: 128n * 1024n * 1024n }, cpu: { shares: 50n } })
      assert.strictEqual(limit(), String(128 * 1024 * 1024))
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live(
    "exec: outputs, exit code, signal, a missing program, capped output",
    () =>
      Effect.gen(function* () {
        const runtime = yield* OciRuntime
        const container = yield* start(["/bin/sleep", "1000"])
        const { handler, id } = container
        const run = (timeout: number, ...command: ReadonlyArray<string>) =>
          runtime.execSync(handler, id, { ...shell(container, ...command), timeout })

        const both = yield* run(10, "/bin/sh", "-c", "echo out; echo err >&2; exit 3")
        assert.deepStrictEqual(
          [both.exitCode, Buffer.from(both.stdout).toString(), Buffer.from(both.stderr).toString()],
          [3, "out\n", "err\n"]
        )
        assert.strictEqual((yield* run(10, "/bin/sh", "-c", "kill -TERM $$")).exitCode, 143)
        const missing = yield* Effect.flip(run(10, "/no/such/program"))
        assert.strictEqual(missing._tag, "RuntimeCommandFailed")
        assert.match(missing.message, /no such file|not found/i)
        const much = yield* run(60, "/bin/sh", "-c", "head -c 20000000 /dev/zero; echo done >&2")
        assert.strictEqual(much.stdout.length, 16 * 1024 * 1024)
        assert.strictEqual(Buffer.from(much.stderr).toString(), "done\n")
        const unknown = yield* Effect.flip(
          runtime.execSync(handler, "no-such-container", { ...shell(container, "/bin/true"), timeout: 5 })
        )
        assert.strictEqual(unknown._tag, "RuntimeCommandFailed")
      }).pipe(Effect.scoped, Effect.provide(layer)),
    60_000
  )

  // crun hands its own outputs to the command; runc copies between pipes and waits for their end.
  it.live("a process that an exec leaves in the background lives on", () =>
    Effect.gen(function* () {
      const runtime = yield* OciRuntime
      const container = yield* start(["/bin/sleep", "1000"])
      const request = shell(container, "/bin/sh", "-c", "sleep 997 >/dev/null 2>&1 & sleep 4 & echo started; exit 5")
      const result = yield* runtime.execSync(container.handler, container.id, { ...request, timeout: 20 })
      assert.deepStrictEqual([result.exitCode, Buffer.from(result.stdout).toString()], [5, "started\n"])
      assert.strictEqual(alive("sleep 997").length, 1)
      if (name === "crun") assert.strictEqual(alive("sleep 4 ").length, 1)
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  const escapes = [
    "sleep 991 & sleep 991",
    "setsid sleep 992 & sleep 992",
    "(setsid sleep 993 </dev/null >/dev/null 2>&1 &); (sleep 993 &) ; sleep 993",
    "(setsid sh -c 'setsid sleep 994 & setsid sleep 994 & sleep 994' >/dev/null 2>&1 &); trap '' TERM; sleep 994"
  ]

  it.live.each(escapes)("a timed out exec leaves nothing: %s", (script) =>
    Effect.gen(function* () {
      const mark = /sleep \d+/.exec(script)?.[0] ?? ""
      const runtime = yield* OciRuntime
      const container = yield* start(["/bin/sh", "-c", "sleep 1000 & setsid /bin/sleep 1001 & sleep 1002"])
      const request = shell(container, "/bin/sh", "-c", script)
      const fiber = yield* Effect.forkChild(
        Effect.flip(runtime.execSync(container.handler, container.id, { ...request, timeout: 1 }))
      )
      yield* Effect.sleep("700 millis")
      assert.isAbove(alive(mark).length, 1)
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error._tag, "ExecTimedOut")
      assert.deepStrictEqual(alive(mark), [])
      // The container's own processes are left alone.
      assert.strictEqual((yield* runtime.state(container.handler, container.id)).status, "running")
      assert.strictEqual(alive("sleep 1001 ").length, 1)
    }).pipe(Effect.scoped, Effect.provide(layer))
  )

  it.live("an interrupted exec leaves nothing", () =>
    Effect.gen(function* () {
      const runtime = yield* OciRuntime
      const container = yield* start(["/bin/sleep", "1000"])
      const request = shell(container, "/bin/sh", "-c", "(setsid sleep 995 >/dev/null 2>&1 &); sleep 995")
      const fiber = yield* Effect.forkChild(
        runtime.execSync(container.handler, container.id, { ...request, timeout: 0 })
      )
      while (alive("sleep 995").length < 2) yield* Effect.sleep("20 millis")
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(alive("sleep 995"), [])
    }).pipe(Effect.scoped, Effect.provide(layer))
  )
})
