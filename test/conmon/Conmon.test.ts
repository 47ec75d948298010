import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs"
import { Conmon } from "../../src/conmon/Conmon.ts"
import { conmonArguments, isMonitorOf } from "../../src/conmon/internal/arguments.ts"
import type { LaunchRequest } from "../../src/conmon/MonitoredContainer.ts"
import { makeWorld } from "./fakeConmon.ts"

const setUp = Effect.gen(function* () {
  const world = yield* makeWorld
  const conmon = Context.get(yield* Layer.build(world.layer), Conmon)
  const refusal = (changes: Partial<LaunchRequest> = {}) => Effect.flip(conmon.launch({ ...world.request, ...changes }))
  return { world, conmon, refusal }
})

const until = Effect.fnUntraced(function* (condition: () => boolean) {
  while (!condition()) yield* Effect.yieldNow
})

describe("conmon's command line", () => {
  it.effect("is CRI-O's", () =>
    Effect.gen(function* () {
      const { request } = yield* makeWorld
      const plain = conmonArguments({
        ...request,
        bundle: "/b",
        logPath: "/l",
        exitDirectory: "/e",
        persistDirectory: "/p",
        socketDirectory: "/s"
      })
      assert.strictEqual(
        plain.join(" "),
        "-b /b -c c0ffee --exit-dir /e -l /l --log-level info -n k8s_c_web -P /b/conmon-pidfile -p /b/pidfile " +
          "--persist-dir /p -r /usr/bin/crun --runtime-arg --root=/run/crun --socket-dir-path /s -u c0ffee --syslog"
      )
      const has = (changes: Partial<LaunchRequest>, text: string) =>
        assert.include(` ${conmonArguments({ ...request, ...changes }).join(" ")} `, ` ${text} `)
      has({ logPath: "" }, "-l none")
      has({ runtimeArgs: ["--debug"] }, "--runtime-arg --root=/run/crun --runtime-arg --debug")
      has({ systemdCgroup: true }, "-s")
      has({ logSizeMax: 4096 }, "--log-size-max 4096")
      has({ noSyncLog: true, noPivot: true }, "--no-sync-log --no-pivot")
      has({ terminal: true, stdin: true, leaveStdinOpen: true }, "-t --leave-stdin-open")
      has({ stdin: true }, "-i")
      assert.notInclude(conmonArguments({ ...request, logSizeMax: -1 }), "--log-size-max")
      assert.notInclude(conmonArguments({ ...request, leaveStdinOpen: true }), "--leave-stdin-open")
    })
  )

  it("is told from that of the runtime it starts", () => {
    assert.isTrue(isMonitorOf(["/usr/bin/conmon", "-b", "/b", "-c", "c0ffee"], "c0ffee"))
    assert.isFalse(isMonitorOf(["/usr/bin/conmon", "-b", "/b", "-c", "beef"], "c0ffee"))
    assert.isFalse(isMonitorOf(["/usr/bin/crun", "create", "--bundle", "/b", "c0ffee"], "c0ffee"))
  })
})

describe("launch", () => {
  it.effect("hands over both pipes and lets conmon go on", () =>
    Effect.gen(function* () {
      const { world, refusal } = yield* setUp
      // Nobody is behind the fake pid, so that the launch ends with a lost monitor, after everything else went well.
      assert.include((yield* refusal()).reason, "right after it had created")
      const [spawned] = world.spawned
      assert.strictEqual(spawned?.path, "/usr/bin/conmon")
      assert.strictEqual(spawned?.cwd, world.request.bundle)
      assert.deepStrictEqual(spawned?.fds, ["null", "output", "output", "output", "input"])
      assert.deepStrictEqual(spawned?.env, { PATH: "/usr/bin", _OCI_SYNCPIPE: "3", _OCI_STARTPIPE: "4" })
      assert.deepStrictEqual(world.events.slice(0, 2), ["write 4", "close 4"])
      assert.isTrue(existsSync(`${world.root}/logs/c`))
    })
  )

  it.effect("reports a refusal with the runtime's words", () =>
    Effect.gen(function* () {
      const { world, refusal } = yield* setUp
      world.script = { sync: '{"pid": -1, "message": "no such user\\n"}\n', exitCode: 0 }
      const error = yield* refusal()
      assert.strictEqual(error.kind, "Runtime")
      assert.strictEqual(error.message, "create of container c0ffee: /usr/bin/crun: no such user")
      assert.isFalse(existsSync(`${world.request.bundle}/conmon-pidfile`))
    })
  )

  it.effect("reports what conmon said when it died without a report", () =>
    Effect.gen(function* () {
      const { world, refusal } = yield* setUp
      world.script = { sync: "", stderr: "conmon: Failed to open log\n", exitCode: 1, startPipeBroken: true }
      const error = yield* refusal()
      assert.strictEqual(error.kind, "Monitor")
      assert.include(error.message, "(exit code 1): conmon: Failed to open log")
      world.script = { sync: "gibberish\n" }
      assert.include((yield* refusal()).message, 'conmon reported "gibberish"')
    })
  )

  it.effect("kills a waiting conmon before the pipe that would let it go on is closed", () =>
    Effect.gen(function* () {
      const { world, conmon } = yield* setUp
      world.script = { sync: undefined }
      const fiber = yield* Effect.forkChild(conmon.launch(world.request), { startImmediately: true })
      yield* until(() => world.events.includes("close 4"))
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(world.events.slice(2), ["signal 9", "pipes closed"])
      assert.isFalse(existsSync(`${world.request.bundle}/conmon-pidfile`))
    })
  )

  it.effect("does not wait for ever", () =>
    Effect.gen(function* () {
      const { world, conmon } = yield* setUp
      world.script = { sync: undefined }
      const fiber = yield* Effect.forkChild(Effect.flip(conmon.launch(world.request)), { startImmediately: true })
      yield* until(() => world.events.includes("close 4"))
      yield* TestClock.adjust("4 minutes")
      assert.include((yield* Fiber.join(fiber)).message, "within 240 s")
    })
  )

  it.effect("looks at the log path before conmon does", () =>
    Effect.gen(function* () {
      const { world, refusal } = yield* setUp
      const refused = Effect.fnUntraced(function* (logPath: string, words: string) {
        const error = yield* refusal({ logPath })
        assert.strictEqual(error.kind, "Log")
        assert.include(error.message, words)
      })
      mkdirSync(`${world.root}/d`)
      symlinkSync("/etc/passwd", `${world.root}/link`)
      symlinkSync("/etc/passwd", `${world.root}/ok.log.tmp`)
      writeFileSync(`${world.root}/file`, "")
      yield* refused(`${world.root}/d`, "is a directory")
      yield* refused(`${world.root}/link`, "is a symlink")
      yield* refused(`${world.root}/ok.log`, 'ok.log.tmp" is a symlink')
      yield* refused(`${world.root}/file/0.log`, "")
      yield* refused("relative.log", "not an absolute path")
      yield* refused("/var/log/../log/x", "not an absolute path")
      yield* refused("/var/log/a:b", '":"')
      assert.deepStrictEqual(world.spawned, [])
    })
  )
})

it.effect("control of a container without monitor says so", () =>
  Effect.gen(function* () {
    const { world, conmon } = yield* setUp
    const container = { ...world.request, width: 80, height: 25 }
    assert.strictEqual((yield* Effect.flip(conmon.resize(container))).kind, "Gone")
    mkdirSync(`${world.root}/logs/c`, { recursive: true })
    const error = yield* Effect.flip(conmon.reopenLog(container))
    assert.strictEqual(error.kind, "Gone")
    assert.isFalse(existsSync(world.request.logPath))
  })
)

it.effect("clean-up is idempotent and takes only the monitor's files", () =>
  Effect.gen(function* () {
    const { world, conmon } = yield* setUp
    const { bundle, exitDirectory, socketDirectory, containerId } = world.request
    for (const name of ["config.json", "pidfile", "attach", "ctl", "winsz", "conmon-pidfile", "conmon-term.x1"]) {
      writeFileSync(`${bundle}/${name}`, "")
    }
    for (const directory of [exitDirectory, socketDirectory]) {
      mkdirSync(directory)
      writeFileSync(`${directory}/${containerId}`, "0")
      writeFileSync(`${directory}/other`, "0")
    }
    yield* conmon.cleanup(world.request)
    yield* conmon.cleanup(world.request)
    const left = ["config.json", "pidfile", "attach", "ctl", "conmon-term.x1"].filter((name) =>
      existsSync(`${bundle}/${name}`)
    )
    assert.deepStrictEqual(left, ["config.json", "pidfile"])
    assert.isFalse(existsSync(`${exitDirectory}/${containerId}`))
    assert.isTrue(existsSync(`${socketDirectory}/other`))
  })
)
