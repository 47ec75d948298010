/** A daemon with a pod, for clients that stream. */
import { execFileSync } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { NamespaceMode } from "../../../src/gen/runtime/v1/api.ts"
import type { CriClient } from "../../../scripts/lib/criClient.ts"
import { type Place, preparePlace, type RunningDaemon, startDaemon } from "../../../scripts/lib/daemon.ts"
import { crictlPath } from "../../../scripts/lib/goTools.mjs"
import { importBusybox } from "../../../scripts/lib/importImage.ts"

const image = "docker.io/library/busybox:latest"

const namespaceOptions = { network: NamespaceMode.POD, pid: NamespaceMode.CONTAINER, ipc: NamespaceMode.POD }
const linux = { securityContext: { namespaceOptions } }

export const mib = 1024 * 1024

export class StreamingSite {
  readonly directory = mkdtempSync(`${tmpdir()}/cricket-streaming-`)
  readonly place: Place
  /** Both set by `start`. */
  daemon!: RunningDaemon
  podSandboxId = ""
  private containers = 0

  private readonly parameters: (directory: string) => ReadonlyArray<string>

  /** `parameters`: further ones of the daemon, by its directory. */
  constructor(network: number, parameters: (directory: string) => ReadonlyArray<string> = () => []) {
    this.place = preparePlace({ directory: this.directory, runtime: "crun", network })
    this.parameters = parameters
  }

  get client(): CriClient {
    return this.daemon.client
  }

  async start(): Promise<void> {
    await importBusybox(this.place, { name: image, page: "hello\n" })
    await this.restart()
    const metadata = { name: "streams", namespace: "default", uid: "streams", attempt: 0 }
    const config = { metadata, hostname: "streams", logDirectory: this.place.logs, linux }
    this.podSandboxId = (await this.client.runPodSandbox({ config })).podSandboxId
  }

  /** The daemon, after it has ended. */
  async restart(): Promise<void> {
    this.daemon = await startDaemon(this.place, { arguments: this.parameters(this.directory) })
  }

  /** A running container. */
  async container(script: string, more: { readonly stdin?: boolean; readonly tty?: boolean } = {}): Promise<string> {
    const name = `main-${this.containers++}`
    const config = {
      metadata: { name, attempt: 0 },
      image: { image, userSpecifiedImage: image },
      command: ["sh", "-c", script],
      logPath: `${name}.log`,
      linux,
      ...more
    }
    const { containerId } = await this.client.createContainer({ podSandboxId: this.podSandboxId, config })
    await this.client.startContainer({ containerId })
    return containerId
  }

  async execUrl(containerId: string, script: string, shape: { readonly stdin?: boolean; readonly tty?: boolean } = {}) {
    const { stdin = false, tty = false } = shape
    const streams = { stdin, stdout: true, stderr: !tty, tty }
    return (await this.client.exec({ containerId, cmd: ["sh", "-c", script], ...streams })).url
  }

  async attachUrl(containerId: string) {
    return (await this.client.attach({ containerId, stdout: true, stderr: true })).url
  }

  /** Standard output of a script in a container, by the call without streams. */
  async run(containerId: string, script: string): Promise<string> {
    const { stdout } = await this.client.execSync({ containerId, cmd: ["sh", "-c", script], timeout: 20 })
    return Buffer.from(stdout).toString().trim()
  }

  crictl(...parameters: ReadonlyArray<string>): string {
    const endpoint = `unix://${this.place.socket}`
    return execFileSync(crictlPath, ["--runtime-endpoint", endpoint, ...parameters], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"]
    })
  }

  get pid(): number {
    return this.daemon.process.pid ?? 0
  }

  /** Bytes of memory that the daemon has. */
  memory(): number {
    const [, kilobytes] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${this.pid}/status`, "utf8")) ?? []
    return Number(kilobytes) * 1024
  }

  /** Descriptors that the daemon has open. */
  descriptors(): number {
    return readdirSync(`/proc/${this.pid}/fd`).length
  }

  async stop(): Promise<void> {
    if (this.daemon !== undefined) {
      await this.client.stopPodSandbox({ podSandboxId: this.podSandboxId })
      await this.client.removePodSandbox({ podSandboxId: this.podSandboxId })
      await this.daemon.stop()
    }
    rmSync(this.directory, { recursive: true, force: true })
  }
}
