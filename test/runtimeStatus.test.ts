import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Cni } from "../src/cni/Cni.ts"
import { defaultSettings } from "../src/config/document.ts"
import { Settings } from "../src/config/Settings.ts"
import { RuntimeStatus } from "../src/cri/RuntimeStatus.ts"
import { type FileStat, Files } from "../src/linux/Files.ts"
import { LinuxError } from "../src/linux/LinuxError.ts"
import { type RuntimeHandler, RuntimeHandlers } from "../src/oci/RuntimeHandlers.ts"
import { runtimeStatus } from "../src/runtimeStatus.ts"
import { Host } from "./pod/support/host.ts"

const crun = {
  name: "crun",
  path: "/usr/bin/crun",
  features: { recursiveReadOnlyMounts: true, userNamespaces: false },
  options: { monitor_path: "" }
} as unknown as RuntimeHandler

const ready = { ready: true, reason: "", message: "" }

/** What is on the host, with its mode. */
const conditionsWith = (files: Record<string, number>, handlers = [crun]) => {
  const layer = runtimeStatus.pipe(
    Layer.provide(
      Layer.mergeAll(
        Settings.layer(defaultSettings),
        Layer.mock(Cni, { status: Effect.succeed(ready) }),
        Layer.mock(RuntimeHandlers, { list: Effect.succeed(handlers) }),
        new Host().settings,
        Layer.mock(Files, {
          stat: (path) =>
            files[path] === undefined
              ? Effect.fail(new LinuxError({ operation: "stat", subject: path, code: "ENOENT" }))
              : Effect.succeed({ kind: "file", mode: files[path] } as FileStat)
        })
      )
    )
  )
  return Effect.flatMap(RuntimeStatus, ({ conditions }) => conditions).pipe(Effect.provide(layer))
}

const there = { "/usr/bin/crun": 0o755, "/usr/bin/conmon": 0o755 }

describe("RuntimeReady", () => {
  it.effect("holds while the default runtime and the monitor are there", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* conditionsWith(there), {
        RuntimeReady: { ready: true },
        NetworkReady: { ready: true }
      })
    })
  )

  const faults: ReadonlyArray<readonly [string, Record<string, number>, string, RegExp]> = [
    ["the runtime is not there", { "/usr/bin/conmon": 0o755 }, "RuntimeMissing", /^\/usr\/bin\/crun, .* handler crun/],
    ["the runtime is no program", { ...there, "/usr/bin/crun": 0o644 }, "RuntimeMissing", /is not there/],
    ["the monitor is not there", { "/usr/bin/crun": 0o755 }, "MonitorMissing", /^\/usr\/bin\/conmon, .* install conmon/]
  ]
  for (const [name, files, reason, message] of faults) {
    it.effect(`does not hold when ${name}, and says so`, () =>
      Effect.gen(function* () {
        const { RuntimeReady, NetworkReady } = yield* conditionsWith(files)
        assert.isTrue(NetworkReady.ready)
        if (RuntimeReady.ready) return assert.fail("it holds")
        assert.strictEqual(RuntimeReady.reason, reason)
        assert.match(RuntimeReady.message, message)
      })
    )
  }

  it.effect("asks for the monitor of the default handler's own", () =>
    Effect.gen(function* () {
      const own = { ...crun, options: { ...crun.options, monitor_path: "/opt/conmon" } }
      const { RuntimeReady } = yield* conditionsWith(there, [own])
      assert.isFalse(RuntimeReady.ready)
      assert.isTrue((yield* conditionsWith({ ...there, "/opt/conmon": 0o755 }, [own])).RuntimeReady.ready)
    })
  )
})
