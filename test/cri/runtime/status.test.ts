import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { runtimeConfig } from "../../../src/cri/runtime/runtimeConfig.ts"
import { status } from "../../../src/cri/runtime/status.ts"
import { updateRuntimeConfig } from "../../../src/cri/runtime/updateRuntimeConfig.ts"
import { runtimeVersion, version } from "../../../src/cri/runtime/version.ts"
import { RuntimeStatus } from "../../../src/cri/RuntimeStatus.ts"
import { CgroupDriver } from "../../../src/gen/runtime/v1/api.ts"
import { environment, LogLines, startServer } from "../support.ts"

const handlers = {
  Version: version,
  Status: status,
  RuntimeConfig: runtimeConfig,
  UpdateRuntimeConfig: updateRuntimeConfig
}

describe("Status and the runtime's settings", () => {
  it("has the version of the package", () => {
    const manifest = readFileSync(join(import.meta.dirname, "../../../package.json"), "utf8")
    assert.strictEqual(runtimeVersion, (JSON.parse(manifest) as { version: string }).version)
  })

  it.live("tells both conditions, handlers and features, and info only when asked", () =>
    Effect.gen(function* () {
      const server = yield* startServer({ runtime: handlers })
      const brief = {
        status: {
          conditions: [
            { type: "RuntimeReady", status: true, reason: "", message: "" },
            {
              type: "NetworkReady",
              status: false,
              reason: "NetworkPluginNotReady",
              message: "no CNI configuration in /etc/cni/net.d"
            }
          ]
        },
        info: {},
        runtimeHandlers: [{ name: "", features: { recursiveReadOnlyMounts: true, userNamespaces: false } }],
        features: { supplementalGroupsPolicy: true, userNamespacesHostNetwork: false, mountOptions: false }
      }
      assert.deepStrictEqual(yield* server.call("Status", { verbose: false }), brief)
      assert.deepStrictEqual(yield* server.call("Status", { verbose: true }), {
        ...brief,
        info: { config: '{"root":"/var/lib/cricket"}' }
      })
    }).pipe(Effect.scoped, Effect.provide(environment()))
  )

  it.live("tells the cgroup driver", () =>
    Effect.gen(function* () {
      const drivers = { systemd: CgroupDriver.SYSTEMD, cgroupfs: CgroupDriver.CGROUPFS } as const
      for (const cgroupDriver of ["systemd", "cgroupfs"] as const) {
        const known = { ...(yield* RuntimeStatus), cgroupDriver }
        const answer = yield* runtimeConfig({}).pipe(Effect.provideService(RuntimeStatus, known))
        assert.deepStrictEqual(answer, { linux: { cgroupDriver: drivers[cgroupDriver] } })
      }
    }).pipe(Effect.provide(environment()))
  )

  it.live("accepts the node's pod CIDR, and a request without one", () =>
    Effect.gen(function* () {
      const server = yield* startServer({ runtime: handlers })
      const runtimeConfigOf = (podCidr: string) => ({ runtimeConfig: { networkConfig: { podCidr } } })
      assert.deepStrictEqual(yield* server.call("UpdateRuntimeConfig", { runtimeConfig: undefined }), {})
      assert.deepStrictEqual(yield* server.call("UpdateRuntimeConfig", runtimeConfigOf("10.85.0.0/16,fd00::/64")), {})
      const lines = yield* LogLines
      assert.lengthOf(lines, 1)
      assert.include(lines[0], "the node's pod CIDR is 10.85.0.0/16,fd00::/64")
    }).pipe(Effect.scoped, Effect.provide(environment()))
  )
})
