/** version, info, runtime-config: what a client asks of the node itself. */
import { assert, describe, it } from "vitest"
import type { Site } from "./support/Site.ts"

export const nodeAndVersions = (site: () => Site) =>
  describe("the node", () => {
    it("tells its versions", async () => {
      const text = await site().crictl.ok("version")
      assert.match(text, /^Version: {2}0\.1\.0$/m)
      assert.match(text, /^RuntimeName: {2}\S+$/m)
      assert.match(text, /^RuntimeVersion: {2}\d+\.\d+\.\d+$/m)
      assert.match(text, /^RuntimeApiVersion: {2}v1$/m)
    })

    it("is ready, and offers both runtimes", async () => {
      const { crictl, runtime } = site()
      const info = await crictl.json("info")
      const conditions = Object.fromEntries(
        info.status.conditions.map(({ type, status }: { type: string; status: boolean }) => [type, status])
      )
      assert.deepInclude(conditions, { RuntimeReady: true, NetworkReady: true })
      const handlers = info.runtimeHandlers.map(({ name = "" }: { name?: string }) => name)
      assert.includeMembers(handlers, ["", "crun", "runc"])
      assert.strictEqual(info.config.crio.runtime.default_runtime, runtime)
    })

    it("agrees on the cgroup driver", async () => {
      assert.strictEqual(await site().crictl.ok("runtime-config"), "cgroup driver:   CGROUPFS")
    })
  })
