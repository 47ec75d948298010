/** A daemon with breakable parts, and the comparison of host and store before and after. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { NamespaceMode } from "../../../src/gen/runtime/v1/api.ts"
import { type CriClient, removeAllPods } from "../../../scripts/lib/criClient.ts"
import { type Place, preparePlace, type RunningDaemon, startDaemon } from "../../../scripts/lib/daemon.ts"
import { differences, type HostState, hostState } from "../../../scripts/lib/hostState.mjs"
import { importBusybox } from "../../../scripts/lib/importImage.ts"
import { Wrappers } from "./wrappers.ts"

export const image = "docker.io/library/busybox:latest"
export const runtime = process.env["CRICKET_TEST_RUNTIME"] === "runc" ? "runc" : "crun"

const ownNamespaces = { network: NamespaceMode.POD, pid: NamespaceMode.CONTAINER, ipc: NamespaceMode.POD }
const sharedProcesses = { ...ownNamespaces, pid: NamespaceMode.POD }

export interface SiteState {
  readonly host: HostState
  readonly files: ReadonlyArray<string>
}

/** What stays by design: locks, the allocator's memory, and the staging directory that each daemon has of its own. */
const lasting = /(\.lock|\/lock|last_reserved_ip\.\d+|\/cricket-staging\/[0-9a-f]+)$/

const filesBelow = (directory: string): ReadonlyArray<string> => {
  if (!existsSync(directory)) return []
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name)
    return [...(lasting.test(path) ? [] : [path]), ...(entry.isDirectory() ? filesBelow(path) : [])]
  })
}

export class Site {
  readonly directory: string
  readonly wrappers: Wrappers
  readonly place: Place
  /** Set by `start`. */
  daemon!: RunningDaemon
  private pods = 0

  constructor(network: number, registries = "") {
    this.directory = mkdtempSync(`${tmpdir()}/cricket-faults-`)
    this.wrappers = new Wrappers(`${this.directory}/wrappers`)
    this.place = preparePlace({
      directory: this.directory,
      runtime,
      network,
      registries,
      pluginDirectories: [this.wrappers.plugins],
      configuration: `[crio.runtime.runtimes.wrapped]
runtime_path = "${this.wrappers.runtime(runtime)}"
runtime_root = "${this.directory}/run/wrapped"
monitor_path = "${this.wrappers.conmon}"
monitor_cgroup = ""
[crio.image]
pause_image = "${image}"
pause_command = "/bin/sleep 100000"
`
    })
  }

  get client(): CriClient {
    return this.daemon.client
  }

  async prepareImage(): Promise<void> {
    await importBusybox(this.place, { name: image, page: "hello\n" })
  }

  async start(): Promise<void> {
    this.daemon = await startDaemon(this.place)
    this.wrappers.watchedDaemon(this.daemon.process.pid ?? 0)
  }

  /** The bridge and the plugins' chains stay after the first pod by the plugins' design: they belong to the baseline. */
  async warmUp(): Promise<void> {
    const pod = await this.runPod()
    await this.client.startContainer({ containerId: await this.createContainer(pod) })
    await this.cleanUp()
  }

  async end(): Promise<void> {
    if (this.daemon !== undefined) {
      await this.cleanUp().catch(() => {})
      await this.daemon.stop()
    }
    rmSync(this.directory, { recursive: true, force: true })
  }

  state(): SiteState {
    const { root, runroot } = this.place
    return { host: hostState(), files: [root, runroot, `${this.directory}/leases`].flatMap(filesBelow) }
  }

  /** The store's mount of its own directory: it comes with the first layer and goes with a daemon that has none at its end. */
  private isHome(line: string): boolean {
    return ["left", "gone"].some((what) => line.startsWith(`mount ${what}: ${this.place.root}/overlay `))
  }

  /** A client that gave up leaves the work running: like kubelet, list and remove again until nothing is left. */
  async left(before: SiteState): Promise<ReadonlyArray<string>> {
    for (const until = Date.now() + 15_000; ; await sleep(200)) {
      await this.cleanUp()
      const after = this.state()
      const known = new Set(before.files)
      const files = after.files.filter((path) => !known.has(path)).map((path) => `file left: ${path}`)
      const left = [...differences(before.host, after.host).filter((line) => !this.isHome(line)), ...files]
      if (left.length === 0 || Date.now() > until) return left
    }
  }

  async runPod(
    options: {
      readonly shared?: boolean
      readonly uid?: string
      readonly signal?: AbortSignal
      readonly deadlineMs?: number
      readonly handler?: string
    } = {}
  ) {
    const uid = options.uid ?? `uid-${++this.pods}`
    const logDirectory = `${this.place.logs}/${uid}`
    mkdirSync(logDirectory, { recursive: true })
    const config = {
      metadata: { name: "fault", namespace: "default", uid, attempt: 0 },
      hostname: "fault",
      logDirectory,
      portMappings: [{ hostPort: 28000, containerPort: 80, protocol: 0 as const, hostIp: "" }],
      linux: { securityContext: { namespaceOptions: options.shared === true ? sharedProcesses : ownNamespaces } }
    }
    const { podSandboxId } = await this.client.runPodSandbox(
      { config, runtimeHandler: options.handler ?? "wrapped" },
      {
        ...(options.signal !== undefined && { signal: options.signal }),
        ...(options.deadlineMs !== undefined && { deadlineMs: options.deadlineMs })
      }
    )
    return podSandboxId
  }

  async createContainer(podSandboxId: string, signal?: AbortSignal): Promise<string> {
    const config = {
      metadata: { name: "main", attempt: 0 },
      image: { image, userSpecifiedImage: image },
      command: ["sleep", "1000"],
      logPath: "main.log",
      linux: { securityContext: { namespaceOptions: ownNamespaces } }
    }
    const { containerId } = await this.client.createContainer(
      { podSandboxId, config },
      signal === undefined ? {} : { signal }
    )
    return containerId
  }

  async cleanUp(): Promise<void> {
    await removeAllPods(this.client)
  }
}
