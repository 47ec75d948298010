/** Stopping a container that has not got far enough to handle its stop signal. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { handlers } from "../../src/cri/handlers.ts"
import { runScenario } from "../world/Simulation.ts"
import { Kubelet } from "./support/kubelet.ts"
import { podWalk } from "./support/podWalk.ts"
import { shortWalk } from "./support/shortWalk.ts"

/** The walk of a pod whose container is stopped, with two seconds of grace, as soon as it has started; its exit code. */
const exitCodeOf = async (script: string): Promise<number | undefined> => {
  const kubelet = new Kubelet({ imageName: "registry.test/library/busybox:1", args: ["sh", "-c", script] })
  let exitCode: number | undefined
  const note = Effect.suspend(() =>
    handlers.runtime.ContainerStatus({ containerId: kubelet.containerId, verbose: false })
  ).pipe(Effect.tap(({ status }) => Effect.sync(() => (exitCode = status?.exitCode))))
  const { failures } = await runScenario(() => ({
    ...podWalk()(),
    steps: shortWalk(
      kubelet,
      { name: "StartContainer", run: kubelet.startContainer },
      { name: "StopContainer", run: kubelet.stopContainer },
      { name: "ContainerStatus", run: note }
    )
  }))
  assert.deepStrictEqual(failures, [])
  return exitCode
}

describe("a stop signal that comes before its handler", () => {
  it("is given when there is one", async () =>
    assert.strictEqual(await exitCodeOf("sleep 1; trap 'exit 3' TERM; sleep 3600"), 3))

  it("gives way to SIGKILL when none comes in time", async () =>
    assert.strictEqual(await exitCodeOf("sleep 30; trap 'exit 3' TERM; sleep 3600"), 137))
})
