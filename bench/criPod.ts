/** A pod's life over the CRI: the same requests for every daemon. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { createWriteStream, mkdirSync } from "node:fs"
import { connect as connectSocket } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import { NamespaceMode } from "../src/gen/runtime/v1/api.ts"
import { connect, type CriClient } from "../scripts/lib/criClient.ts"
import { command, type Contestant, image } from "./Contestant.ts"

/** As kubelet asks for an ordinary pod. */
const namespaceOptions = { network: NamespaceMode.POD, pid: NamespaceMode.CONTAINER, ipc: NamespaceMode.POD }

export const criPod = (
  { client, cgroupParent, logs }: { readonly client: CriClient; readonly cgroupParent: string; readonly logs: string },
  number: number,
  created: (ids: { readonly podSandboxId: string; readonly containerId: string }) => void = () => {}
): ReturnType<Contestant["pod"]> => {
  const logDirectory = `${logs}/${number}`
  mkdirSync(logDirectory, { recursive: true })
  const config = {
    metadata: { name: `pod${number}`, namespace: "default", uid: `uid${number}`, attempt: 0 },
    hostname: "bench",
    logDirectory,
    dnsConfig: { servers: ["192.0.2.1"] },
    linux: { cgroupParent, securityContext: { namespaceOptions } }
  }
  let podSandboxId = ""
  let containerId = ""
  return {
    RunPodSandbox: async () => ({ podSandboxId } = await client.runPodSandbox({ config })),
    CreateContainer: async () => {
      const container = {
        metadata: { name: "main", attempt: 0 },
        image: { image, userSpecifiedImage: image },
        command,
        logPath: "main.log",
        linux: { securityContext: { namespaceOptions } }
      }
      ;({ containerId } = await client.createContainer({ podSandboxId, config: container, sandboxConfig: config }))
      created({ podSandboxId, containerId })
    },
    StartContainer: () => client.startContainer({ containerId }),
    ExecSync: async () => {
      const { exitCode } = await client.execSync({ containerId, cmd: ["/bin/true"], timeout: 10 })
      if (exitCode !== 0) throw new Error(`exec ended with ${exitCode}`)
    },
    teardown: async () => {
      await client.stopContainer({ containerId, timeout: 0 })
      await client.stopPodSandbox({ podSandboxId })
      await client.removeContainer({ containerId })
      await client.removePodSandbox({ podSandboxId })
    }
  }
}

export const countStats = async (client: CriClient): Promise<number> => {
  const { stats } = await client.listContainerStats({})
  return stats.filter(({ cpu, memory }) => cpu?.usageCoreNanoSeconds && memory?.workingSetBytes).length
}

const listens = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connectSocket(path)
    socket.once("connect", () => {
      socket.destroy()
      resolve(true)
    })
    socket.once("error", () => resolve(false))
  })

const answered = (call: Promise<unknown>): Promise<boolean> =>
  call.then(
    () => true,
    () => false
  )

export interface DaemonProgram {
  readonly argv: readonly [string, ...ReadonlyArray<string>]
  readonly socket: string
  readonly log: string
}

const startLimit = 60_000

/** A daemon that can be started again and again; its client stays the same. */
export const makeDaemon = ({ argv: [program, ...args], socket, log }: DaemonProgram) => {
  let child: ChildProcess | undefined
  let client = connect(socket)

  const stop = async (): Promise<void> => {
    client.close()
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exit = once(child, "exit")
    child.kill("SIGTERM")
    await exit
  }

  const start = async (): Promise<number> => {
    await stop()
    client = connect(socket)
    const output = createWriteStream(log, { flags: "a" })
    await once(output, "open")
    const begun = performance.now()
    child = spawn(program, args, { stdio: ["ignore", output, output], detached: true })
    const version = client.version
    // A daemon may listen before it can answer.
    while (!(await listens(socket)) || !(await answered(version({})))) {
      if (child.exitCode !== null) throw new Error(`${program} ended with ${child.exitCode}; its log is ${log}`)
      if (performance.now() - begun > startLimit) throw new Error(`${program} does not answer; its log is ${log}`)
      await sleep(1)
    }
    const took = performance.now() - begun
    output.close()
    return took
  }

  /** Until it would run a pod. */
  const ready = async (): Promise<void> => {
    for (const until = performance.now() + startLimit; ; await sleep(50)) {
      const { status } = await client.status({}).catch(() => ({ status: undefined }))
      const conditions = status?.conditions ?? []
      if (conditions.length > 0 && conditions.every((condition) => condition.status)) return
      if (performance.now() > until) throw new Error(`${program} does not become ready: ${JSON.stringify(conditions)}`)
    }
  }

  return {
    get client() {
      return client
    },
    pid: () => child?.pid ?? 0,
    start,
    ready,
    stop
  }
}
