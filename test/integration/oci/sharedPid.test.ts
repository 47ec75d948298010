/** A pod whose containers share the PID namespace of a pause container. Needs root. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { afterAll, beforeAll } from "vitest"
import { NamespaceMode } from "../../../src/gen/runtime/v1/api.ts"
import { OciRuntime } from "../../../src/oci/OciRuntime.ts"
import { namespaceOption } from "../../oci/requests.ts"
import { layerOf, runtimes, scriptOutput, setUp, startPause, tearDown } from "./bench.ts"

beforeAll(setUp)
afterAll(tearDown)

describe.each(runtimes)("%s", (name) => {
  it.live("a container sees the pause process as its init", () =>
    Effect.gen(function* () {
      const { handler, id } = yield* startPause(["/bin/sleep", "1000"])
      const pausePid = (yield* (yield* OciRuntime).state(handler, id)).pid
      const text = yield* scriptOutput(
        "tr '\\0' ' ' </proc/1/cmdline; echo; grep ^Uid: /proc/1/status; grep ^CapEff: /proc/1/status",
        {
          security: { namespaceOptions: namespaceOption({ pid: NamespaceMode.POD }) },
          namespaces: { pausePid }
        }
      )
      const [command, uid, capabilities] = text.split("\n")
      assert.strictEqual(command, "/bin/sleep 1000 ")
      assert.strictEqual(uid, "Uid:\t65535\t65535\t65535\t65535")
      assert.strictEqual(capabilities, "CapEff:\t0000000000000000")
    }).pipe(Effect.scoped, Effect.provide(layerOf(name)))
  )
})
