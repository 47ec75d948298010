/** ExecSync at the daemon as a process: beside a stop, at its time-out, at its limit of output. Needs root. */
import { status } from "@grpc/grpc-js"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { ContainerState, NamespaceMode } from "../../../src/gen/runtime/v1/api.ts"
import { removeAllPods } from "../../../scripts/lib/criClient.ts"
import { type RunningDaemon, preparePlace, startDaemon } from "../../../scripts/lib/daemon.ts"
import { importBusybox } from "../../../scripts/lib/importImage.ts"

const image = "localhost/exec:1"
const namespaceOptions = { network: NamespaceMode.NODE, pid: NamespaceMode.CONTAINER, ipc: NamespaceMode.POD }

const stateOf = (pid: string) => {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8")
  const [state, parent] = text.slice(text.lastIndexOf(")") + 2).split(" ")
  return { state, parent: Number(parent) }
}

/** Processes that are gone before they have been looked at are none. */
const pidsWhere = (predicate: (pid: string) => boolean) =>
  readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && predicate(pid)
    } catch {
      return false
    }
  })

describe.each(["crun", "runc"])("ExecSync with %s", (runtime) => {
  const directory = mkdtempSync(`/tmp/cricket-exec-${runtime}-`)
  let daemon: RunningDaemon
  let pods = 0

  beforeAll(async () => {
    const place = preparePlace({ directory, runtime, network: 83 })
    await importBusybox(place, { name: image })
    daemon = await startDaemon(place)
  }, 60_000)

  afterAll(async () => {
    await removeAllPods(daemon.client)
    await daemon.stop()
    rmSync(directory, { recursive: true })
  }, 60_000)

  const start = async (...command: ReadonlyArray<string>) => {
    const linux = { securityContext: { namespaceOptions } }
    const metadata = { name: "exec", namespace: "default", uid: `uid-${pods++}`, attempt: 0 }
    const config = { metadata, logDirectory: `${directory}/logs`, linux }
    mkdirSync(`${directory}/logs`, { recursive: true })
    const { podSandboxId } = await daemon.client.runPodSandbox({ config })
    const container = {
      metadata: { name: "main", attempt: 0 },
      image: { image, userSpecifiedImage: image },
      command,
      linux
    }
    const { containerId } = await daemon.client.createContainer({
      podSandboxId,
      config: container,
      sandboxConfig: config
    })
    await daemon.client.startContainer({ containerId })
    return containerId
  }

  /** Living processes in the container's PID namespace. */
  const processesIn = (containerId: string) => {
    const bundle = `${daemon.place.runroot}/overlay-containers/${containerId}/userdata`
    const own = readlinkSync(`/proc/${readFileSync(`${bundle}/pidfile`, "utf8")}/ns/pid`)
    return pidsWhere((pid) => readlinkSync(`/proc/${pid}/ns/pid`) === own && stateOf(pid).state !== "Z")
  }

  /** Ended children of the daemon that it has not reaped. */
  const zombiesOfDaemon = () =>
    pidsWhere((pid) => stateOf(pid).state === "Z" && stateOf(pid).parent === daemon.process.pid)

  it("what began before a stop runs on during the grace period, and more can begin", async () => {
    const containerId = await start("sh", "-c", "trap '' TERM; while :; do sleep 1; done")
    const begun = daemon.client.execSync({
      containerId,
      cmd: ["sh", "-c", "sleep 2; echo survived; exit 7"],
      timeout: 30
    })
    await sleep(500)
    const stopping = daemon.client.stopContainer({ containerId, timeout: 5 })
    await sleep(500)
    const later = await daemon.client.execSync({ containerId, cmd: ["echo", "later"], timeout: 30 })
    expect(Buffer.from(later.stdout).toString()).toBe("later\n")
    const { exitCode, stdout } = await begun
    expect([exitCode, Buffer.from(stdout).toString()]).toEqual([7, "survived\n"])
    const { status: before } = await daemon.client.containerStatus({ containerId })
    expect(before?.state).toBe(ContainerState.CONTAINER_RUNNING)
    await stopping
  }, 60_000)

  it("ends with the container's first process", async () => {
    const containerId = await start("sleep", "1000")
    const begun = daemon.client.execSync({ containerId, cmd: ["sleep", "900"], timeout: 0 })
    await sleep(500)
    await daemon.client.stopContainer({ containerId, timeout: 0 })
    expect((await begun).exitCode).toBe(137)
  }, 60_000)

  it("a time-out is DeadlineExceeded and ends what the command has started, whichever way that left it", async () => {
    const containerId = await start("sleep", "1000")
    const script = "(setsid sleep 800 >/dev/null 2>&1 &); sleep 801 & env -i sleep 802"
    const error = await daemon.client.execSync({ containerId, cmd: ["sh", "-c", script], timeout: 1 }).catch((e) => e)
    expect(error.code).toBe(status.DEADLINE_EXCEEDED)
    expect(error.details).toContain("timed out after 1 s")
    // What a container's first process adopts and never reaps stays a zombie until that ends; nobody else can help it.
    expect(processesIn(containerId)).toHaveLength(1)
    expect(zombiesOfDaemon()).toEqual([])
  }, 60_000)

  it("keeps 16 MiB of each output, and the command writes on", async () => {
    const containerId = await start("sleep", "1000")
    const script = "head -c 20000000 /dev/zero; head -c 20000000 /dev/zero >&2; exit 6"
    const { exitCode, stdout, stderr } = await daemon.client.execSync({
      containerId,
      cmd: ["sh", "-c", script],
      timeout: 30
    })
    expect([exitCode, stdout.length, stderr.length]).toEqual([6, 16 << 20, 16 << 20])
  }, 60_000)
})
