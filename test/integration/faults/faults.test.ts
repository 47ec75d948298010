/**
 * Real parts failing: at each step of Run, Create, Start and the teardown a run in which that part fails, one in which
 * the client gives up there, one in which the daemon is stopped there and one in which it is killed; then it is started
 * again. After kubelet-like clean-up host and store are as before, and the same request then succeeds.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { existsSync, readFileSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { FaultTable } from "./FaultTable.ts"
import { Site } from "./Site.ts"
import type { Action, Fault } from "./wrappers.ts"

interface Operation {
  readonly rpc: string
  /** Brings the site to where the RPC can be called. */
  readonly prepare: (site: Site) => Promise<string>
  readonly call: (site: Site, prepared: string, signal?: AbortSignal) => Promise<unknown>
  readonly points: ReadonlyArray<string>
}

const withSignal = (signal?: AbortSignal) => (signal === undefined ? {} : { signal })

const operations: ReadonlyArray<Operation> = [
  {
    rpc: "RunPodSandbox",
    prepare: async () => "",
    call: (site, _, signal) => site.runPod(withSignal(signal)),
    points: ["bridge-ADD", "portmap-ADD"]
  },
  {
    rpc: "RunPodSandbox (shared PID)",
    prepare: async () => "",
    call: (site, _, signal) => site.runPod({ shared: true, ...withSignal(signal) }),
    points: ["conmon", "runtime-create", "runtime-start"]
  },
  {
    rpc: "CreateContainer",
    prepare: (site) => site.runPod(),
    call: (site, pod, signal) => site.createContainer(pod, signal),
    points: ["conmon", "runtime-create"]
  },
  {
    rpc: "StartContainer",
    prepare: async (site) => site.createContainer(await site.runPod()),
    call: (site, containerId, signal) => site.client.startContainer({ containerId }, withSignal(signal)),
    points: ["runtime-start"]
  },
  {
    rpc: "RemovePodSandbox",
    prepare: async (site) => {
      const pod = await site.runPod()
      await site.client.startContainer({ containerId: await site.createContainer(pod) })
      return pod
    },
    call: (site, podSandboxId, signal) => site.client.removePodSandbox({ podSandboxId }, withSignal(signal)),
    points: ["runtime-delete", "portmap-DEL", "bridge-DEL"]
  }
]

const sentence: Record<Action, string> = {
  fail: "it fails",
  wait: "the client gives up",
  stop: "the daemon is stopped",
  kill: "the daemon is killed"
}

const table = new FaultTable()
let site: Site

beforeAll(async () => {
  site = new Site(78)
  await site.prepareImage()
  await site.start()
  await site.warmUp()
}, 60_000)

afterAll(async () => {
  await site?.end()
  table.print()
}, 60_000)

const struck = () => {
  const path = `${site.wrappers.directory}/struck`
  return existsSync(path) ? readFileSync(path, "utf8").trim() : ""
}

const strike = async (operation: Operation, prepared: string, fault: Fault): Promise<string> => {
  site.wrappers.arm(fault)
  const abort = new AbortController()
  const call = operation.call(site, prepared, abort.signal).then(
    () => "succeeded",
    (error: unknown) => `failed: ${error instanceof Error ? error.message : String(error)}`
  )
  if (fault.action === "wait") {
    for (let tries = 0; tries < 400 && struck() === ""; tries++) await sleep(25)
    abort.abort()
    await sleep(50)
  }
  const outcome = await call
  expect(struck(), "the fault struck").toContain(fault.point)
  site.wrappers.disarm()
  return outcome
}

for (const operation of operations) {
  describe(operation.rpc, () => {
    for (const point of operation.points) {
      for (const moment of ["before", "after"] as const) {
        // An orderly stop is a kill with a roll-back: once per point is enough.
        const actions =
          moment === "before" ? (["fail", "wait", "kill"] as const) : (["fail", "wait", "stop", "kill"] as const)
        for (const action of actions) {
          it(`${point}, ${moment} its work: ${sentence[action]}`, async () => {
            const before = site.state()
            const prepared = await operation.prepare(site)
            const outcome = await strike(operation, prepared, { point, moment, action })
            table.add(operation.rpc, { point, moment, action }, outcome)
            // A monitor has reported its container when it ends, so that nothing after that need fail the call. A
            // runtime that fails to delete a container whose process has ended is asked once more.
            const tooLate =
              (moment === "after" && point === "conmon") || (point === "runtime-delete" && action === "fail")
            if (!tooLate) expect(outcome).toContain("failed")
            if (action === "kill" || action === "stop") {
              await site.daemon.stop("SIGKILL")
              await site.start()
            }
            expect(await site.left(before), "left behind").toEqual([])
            // Nothing keeps the name, the address or the port.
            await operation.call(site, await operation.prepare(site))
            expect(await site.left(before), "left behind after a good run").toEqual([])
          }, 90_000)
        }
      }
    }
  })
}
