/**
 * Real parts failing: at each step of Run, Create, Start and Pull a run in which that part fails, one in which the client
 * gives up there and one in which the daemon is killed there and started again. After kubelet-like clean-up the host is
 * as before, and the same request then succeeds.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { setTimeout as sleep } from "node:timers/promises"
import { NamespaceMode } from "../../../src/gen/runtime/v1/api.ts"
import { makeBusyboxImage } from "../../../scripts/lib/busyboxImage.ts"
import type { CriClient } from "../../../scripts/lib/criClient.ts"
import { type Place, preparePlace, type RunningDaemon, startDaemon } from "../../../scripts/lib/daemon.ts"
import { importImage } from "../../../scripts/lib/importImage.ts"
import { differences, hostState } from "../../../scripts/lib/hostState.mjs"
import { type Fault, Wrappers } from "./wrappers.ts"

const image = "docker.io/library/busybox:latest"
const runtime = process.env["CRICKET_TEST_RUNTIME"] === "runc" ? "runc" : "crun"
const namespaceOptions = { network: NamespaceMode.POD, pid: NamespaceMode.CONTAINER, ipc: NamespaceMode.POD }

let directory: string
let wrappers: Wrappers
let place: Place
let daemon: RunningDaemon
let attempt = 0

/** What was tried, for the table at the end. */
const points: Array<{ readonly rpc: string; readonly fault: Fault; readonly outcome: string }> = []

const start = async () => {
  daemon = await startDaemon(place)
  wrappers.watchedDaemon(daemon.process.pid ?? 0)
}

beforeAll(async () => {
  directory = mkdtempSync(`${tmpdir()}/cricket-faults-`)
  wrappers = new Wrappers(`${directory}/wrappers`)
  place = preparePlace({
    directory,
    runtime,
    network: 78,
    configuration: `[crio.runtime.runtimes.wrapped]
runtime_path = "${wrappers.runtime(runtime)}"
runtime_root = "${directory}/run/wrapped"
monitor_path = "${wrappers.conmon}"
monitor_cgroup = ""
`,
    pluginDirectories: [wrappers.plugins]
  })
  makeBusyboxImage({ directory: `${directory}/layout`, page: "hello\n", name: image })
  await importImage({
    graphRoot: place.root,
    runRoot: place.runroot,
    directory: `${directory}/layout`,
    name: image
  })
  await start()
  // The bridge and the chains of the first pod stay by the plugins' design.
  await wholePod(daemon.client)
  await cleanUp(daemon.client)
}, 60_000)

afterAll(async () => {
  if (daemon !== undefined) {
    await cleanUp(daemon.client).catch(() => {})
    await daemon.stop()
  }
  rmSync(directory, { recursive: true, force: true })
  const rows = points.map(
    ({ rpc, fault, outcome }) =>
      `${rpc.padEnd(16)} ${fault.point.padEnd(16)} ${fault.moment.padEnd(7)} ${fault.action.padEnd(5)} ${outcome}`
  )
  process.stdout.write(`\n${rows.join("\n")}\n${points.length} points\n`)
})

const podConfig = (uid: string) => {
  const logDirectory = `${place.logs}/${uid}`
  mkdirSync(logDirectory, { recursive: true })
  return {
    metadata: { name: "fault", namespace: "default", uid, attempt: 0 },
    hostname: "fault",
    logDirectory,
    portMappings: [{ hostPort: 28000, containerPort: 80, protocol: 0 as const, hostIp: "" }],
    linux: { securityContext: { namespaceOptions } }
  }
}

const containerConfig = {
  metadata: { name: "main", attempt: 0 },
  image: { image, userSpecifiedImage: image },
  command: ["sleep", "1000"],
  logPath: "main.log",
  linux: { securityContext: { namespaceOptions } }
}

const runPod = (client: CriClient, uid: string, signal?: AbortSignal) =>
  client.runPodSandbox({ config: podConfig(uid), runtimeHandler: "wrapped" }, signal === undefined ? {} : { signal })

const wholePod = async (client: CriClient) => {
  const uid = `warm-${++attempt}`
  const { podSandboxId } = await runPod(client, uid)
  const { containerId } = await client.createContainer({ podSandboxId, config: containerConfig })
  await client.startContainer({ containerId })
}

/** As kubelet does: everything that is listed is stopped and removed. */
const cleanUp = async (client: CriClient) => {
  const { items } = await client.listPodSandbox({})
  for (const { id } of items) {
    await client.stopPodSandbox({ podSandboxId: id })
    await client.removePodSandbox({ podSandboxId: id })
  }
}

const settled = async (before: Awaited<ReturnType<typeof hostState>>) => {
  let left: ReadonlyArray<string> = []
  for (const until = Date.now() + 8000; Date.now() < until; await sleep(100)) {
    left = differences(before, await hostState())
    if (left.length === 0) return []
  }
  return left
}

interface Operation {
  readonly rpc: string
  /** Brings the world to where the RPC can be called. */
  readonly prepare: (client: CriClient, uid: string) => Promise<string>
  readonly call: (client: CriClient, uid: string, prepared: string, signal?: AbortSignal) => Promise<unknown>
  readonly points: ReadonlyArray<string>
}

const operations: ReadonlyArray<Operation> = [
  {
    rpc: "RunPodSandbox",
    prepare: async () => "",
    call: (client, uid, _, signal) => runPod(client, uid, signal),
    points: ["bridge-ADD", "portmap-ADD"]
  },
  {
    rpc: "CreateContainer",
    prepare: async (client, uid) => (await runPod(client, uid)).podSandboxId,
    call: (client, _, podSandboxId, signal) =>
      client.createContainer({ podSandboxId, config: containerConfig }, signal === undefined ? {} : { signal }),
    points: ["conmon", "runtime-create"]
  },
  {
    rpc: "StartContainer",
    prepare: async (client, uid) => {
      const { podSandboxId } = await runPod(client, uid)
      return (await client.createContainer({ podSandboxId, config: containerConfig })).containerId
    },
    call: (client, _, containerId, signal) =>
      client.startContainer({ containerId }, signal === undefined ? {} : { signal }),
    points: ["runtime-start"]
  }
]

const struck = () => {
  try {
    return readFileSync(`${wrappers.directory}/struck`, "utf8").trim()
  } catch {
    return ""
  }
}

const awaitStruck = async () => {
  for (let tries = 0; tries < 200 && struck() === ""; tries++) await sleep(25)
}

for (const operation of operations) {
  describe(operation.rpc, () => {
    for (const point of operation.points) {
      for (const moment of ["before", "after"] as const) {
        for (const action of ["fail", "wait", "kill"] as const) {
          const fault: Fault = { point, moment, action }
          it(`${point}, ${moment} its work: ${action === "wait" ? "the client gives up" : action}`, async () => {
            const before = await hostState()
            const uid = `uid-${++attempt}`
            const prepared = await operation.prepare(daemon.client, uid)
            wrappers.arm(fault)
            const abort = new AbortController()
            const call = operation.call(daemon.client, uid, prepared, abort.signal).then(
              () => "succeeded",
              (error: unknown) => `failed: ${error instanceof Error ? error.message : String(error)}`
            )
            if (action === "wait") {
              await awaitStruck()
              abort.abort()
              await sleep(50)
            }
            const outcome = await call
            expect(struck(), "the fault struck").toContain(point)
            wrappers.disarm()
            points.push({ rpc: operation.rpc, fault, outcome: outcome.slice(0, 110) })
            // conmon answers for the runtime after its work too: a failure that comes too late is none.
            const mayPass = moment === "after" && action === "fail" && point === "conmon"
            if (!mayPass) expect(outcome).toContain("failed")
            if (action === "kill") {
              await daemon.stop("SIGKILL")
              await start()
            }
            await cleanUp(daemon.client)
            expect(await settled(before), "left on the host").toEqual([])
            // Nothing keeps the name, the address or the port.
            const again = await operation.prepare(daemon.client, `${uid}-again`)
            await operation.call(daemon.client, `${uid}-again`, again)
            await cleanUp(daemon.client)
            expect(await settled(before), "left on the host after a good run").toEqual([])
          }, 60_000)
        }
      }
    }
  })
}
