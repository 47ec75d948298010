import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { ProcessInfo } from "../../src/linux/Processes.ts"
import { related } from "../../src/oci/internal/killExec.ts"
import { errorOfLog } from "../../src/oci/internal/runtimeMessage.ts"
import { OciRuntime } from "../../src/oci/OciRuntime.ts"
import { type FakeHost, fakeLinux } from "./fakeLinux.ts"
import { handler } from "./host.ts"

const options = { systemdCgroup: true, directory: "/run/cricket/oci", xdgRuntimeDirectory: "/run/user/0" }
const common = ["--root", "/run/crun", "--systemd-cgroup", "--log-format", "json"]

const withRuntime = <A, E>(host: FakeHost, use: (runtime: OciRuntime["Service"]) => Effect.Effect<A, E>) => {
  const { ran, layer } = fakeLinux(host)
  return Effect.gen(function* () {
    const result = yield* use(yield* OciRuntime)
    return { result, ran }
  }).pipe(Effect.provide(OciRuntime.layer(options)), Effect.provide(layer))
}

const known = { "/run/crun/c1": { kind: "directory" as const } }
const refusal = { code: 1, error: '{"msg":"cannot","level":"error"}\n' }

describe("command lines", () => {
  it.effect("start, kill, delete, state, with two variables in the environment", () =>
    Effect.gen(function* () {
      const state = { text: '{"ociVersion":"1.0.0","id":"c1","pid":7,"status":"running","bundle":"/b"}' }
      const { result, ran } = yield* withRuntime({ files: known, run: () => state }, (runtime) =>
        Effect.gen(function* () {
          yield* runtime.start(handler, "c1")
          yield* runtime.kill(handler, "c1", 15)
          yield* runtime.delete(handler, "c1")
          return yield* runtime.state(handler, "c1")
        })
      )
      assert.deepStrictEqual(result, { status: "running", pid: 7, bundle: "/b" })
      assert.deepStrictEqual(
        ran.map(({ args }) => args),
        [
          [...common, "start", "c1"],
          [...common, "kill", "c1", "15"],
          [...common, "delete", "c1"],
          [...common, "state", "c1"]
        ]
      )
      for (const { path, env } of ran) {
        assert.strictEqual(path, "/usr/bin/crun")
        assert.deepStrictEqual(Object.keys(env).sort(), ["PATH", "XDG_RUNTIME_DIR"])
      }
    })
  )

  it.effect("a sweep takes the directories of execs, and nothing else", () =>
    Effect.gen(function* () {
      const files: FakeHost["files"] = {
        "/run/cricket/oci/exec-1": { kind: "directory" },
        "/run/cricket/oci/other.json": "{}"
      }
      yield* withRuntime({ files, run: () => refusal }, (runtime) => runtime.sweep)
      assert.deepStrictEqual(Object.keys(files), ["/run/cricket/oci/other.json"])
    })
  )

  it.effect("update gives its limits on standard input: no file is left when it fails", () =>
    Effect.gen(function* () {
      const { ran } = yield* withRuntime({ files: known, run: () => refusal }, (runtime) =>
        Effect.flip(runtime.update(handler, "c1", { memory: { limit: 9007199254740993n } }))
      )
      assert.deepStrictEqual(ran[0]?.args, [...common, "update", "--resources", "/dev/stdin", "c1"])
      assert.strictEqual(Buffer.from(ran[0]?.stdin ?? []).toString(), '{"memory":{"limit":9007199254740993}}')
    })
  )
})

describe("failures", () => {
  it.effect("carry the container and the runtime's own words", () =>
    Effect.gen(function* () {
      const { result } = yield* withRuntime({ files: known, run: () => refusal }, (runtime) =>
        Effect.flip(runtime.start(handler, "c1"))
      )
      assert.strictEqual(result._tag, "RuntimeCommandFailed")
      assert.strictEqual(result.message, "crun start of container c1: cannot (exit code 1)")
    })
  )
  it.effect("a container that the runtime does not know", () =>
    Effect.gen(function* () {
      const { result, ran } = yield* withRuntime({ files: {}, run: () => refusal }, (runtime) =>
        Effect.gen(function* () {
          yield* runtime.delete(handler, "c1")
          assert.isFalse(yield* runtime.kill(handler, "c1", 9))
          return yield* Effect.flip(runtime.state(handler, "c1"))
        })
      )
      assert.strictEqual(result._tag, "RuntimeContainerUnknown")
      assert.deepStrictEqual(
        ran.map(({ args }) => args[5]),
        ["kill", "state"]
      )
    })
  )
  it.effect("kill of a stopped container is no error, of a running one it is", () =>
    Effect.gen(function* () {
      const kill = (status: string) =>
        withRuntime(
          {
            files: known,
            run: ({ args }) =>
              args.includes("state") ? { text: `{"status":"${status}","pid":0,"bundle":""}` } : refusal
          },
          (runtime) => Effect.result(runtime.kill(handler, "c1", 9))
        )
      assert.strictEqual((yield* kill("stopped")).result._tag, "Success")
      assert.strictEqual((yield* kill("running")).result._tag, "Failure")
    })
  )
  it.effect("an answer that is no state", () =>
    Effect.gen(function* () {
      const { result } = yield* withRuntime({ files: known, run: () => ({ text: "{}" }) }, (runtime) =>
        Effect.flip(runtime.state(handler, "c1"))
      )
      assert.strictEqual(result._tag, "RuntimeUnavailable")
    })
  )
})

it.each([
  ['{"msg":"a","level":"warning"}\n{"level":"error","msg":"b","time":"x"}\n{"level":"debug","msg":"c"}\n', "b"],
  ['time="2026" level=warning msg="w"\ntime="2026" level=error msg="say \\"no\\""\n', 'say "no"'],
  ["plain words\n\n", "plain words"],
  ["{broken", "{broken"],
  ['{"msg":"only","level":"warning"}', undefined],
  ["", undefined]
])("the error in %j is %j", (text, expected) => assert.strictEqual(errorOfLog(text), expected))

describe("related processes", () => {
  const process = (pid: number, parent: number, session = 1): ProcessInfo => ({
    pid,
    startTime: pid,
    parent,
    session,
    state: "S",
    command: "x"
  })
  const all = [process(5, 4, 5), process(4, 3), process(3, 2), process(9, 1, 5), process(8, 1, 8), process(2, 1)]
  const pidsFrom = (pids: ReadonlyArray<number>, sessions: ReadonlyArray<number> = []) =>
    related(all, new Map(pids.map((pid) => [`${pid}@${pid}`, { pid, startTime: pid }])), new Set(sessions))
      .map(({ pid }) => pid)
      .sort()

  it("are descendants, whatever the order of the list", () => assert.deepStrictEqual(pidsFrom([3]), [3, 4, 5]))
  it("are members of known sessions, and their descendants", () => {
    assert.deepStrictEqual(pidsFrom([3], [5]), [3, 4, 5, 9])
    assert.deepStrictEqual(pidsFrom([], [8]), [8])
  })
  it("a pid that was used again is somebody else", () =>
    assert.deepStrictEqual(related(all, new Map([["3@1", { pid: 3, startTime: 1 }]]), new Set()), []))
})
