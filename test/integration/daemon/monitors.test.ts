/** Where a handler's monitors run and which program is its runtime, at the daemon as a process. Needs root. */
import { Effect, Layer } from "effect"
import { execFileSync } from "node:child_process"
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { removeAllPods } from "../../../scripts/lib/criClient.ts"
import { preparePlace, type RunningDaemon, startDaemon } from "../../../scripts/lib/daemon.ts"
import { importBusybox } from "../../../scripts/lib/importImage.ts"
import { Cgroups } from "../../../src/cgroup/Cgroups.ts"
import { ContainerState, NamespaceMode } from "../../../src/gen/runtime/v1/api.ts"
import { Files } from "../../../src/linux/Files.ts"

const image = "localhost/monitors:1"
const foreignImage = "localhost/foreign:1"
const unusableImage = "localhost/unusable:1"
const namespaceOptions = { network: NamespaceMode.NODE, pid: NamespaceMode.CONTAINER, ipc: NamespaceMode.POD }

const withCgroups = <A, E>(use: (cgroups: Cgroups["Service"]) => Effect.Effect<A, E>) =>
  Effect.runPromise(
    Effect.flatMap(Cgroups, use).pipe(
      Effect.provide(Cgroups.layer.pipe(Layer.provide(Files.layer)))
    ) as Effect.Effect<A>
  )

/** The path in each hierarchy that has one. */
const cgroupsOf = (pid: number | string) => {
  const lines = readFileSync(`/proc/${pid}/cgroup`, "utf8").trim().split("\n")
  return [...new Set(lines.map((line) => line.split(":").slice(2).join(":")))].filter((path) => path !== "/")
}

describe.each(["crun", "runc"])("monitors with %s", (runtime) => {
  const directory = mkdtempSync(`/tmp/cricket-monitors-${runtime}-`)
  const program = execFileSync("sh", ["-c", `command -v ${runtime}`], { encoding: "utf8" }).trim()
  const watching = `${directory}/watching-runtime`
  const watchingMonitor = `${directory}/watching-conmon`
  const parent = `/cricket-monitors-${process.pid}-${runtime}`
  let hierarchies: ReadonlyArray<string> = []
  let daemon: RunningDaemon
  let pods = 0

  beforeAll(async () => {
    writeFileSync(watching, `#!/bin/sh\necho "$@" >>${directory}/watched\nexec ${program} "$@"\n`)
    writeFileSync(watchingMonitor, `#!/bin/sh\necho "$@" >>${directory}/monitored\nexec conmon "$@"\n`)
    for (const script of [watching, watchingMonitor]) chmodSync(script, 0o755)
    const configuration = `[crio.runtime.runtimes.inpod]
inherit_default_runtime = true
monitor_cgroup = "pod"
monitor_exec_cgroup = "container"
[crio.runtime.runtimes.foreign]
inherit_default_runtime = true
monitor_path = "${watchingMonitor}"
platform_runtime_paths = { "linux/riscv64" = "${watching}", "linux/s390x" = "${directory}/none" }
`
    const place = preparePlace({ directory, runtime, network: 93, configuration })
    await importBusybox(place, { name: image })
    await importBusybox(place, { name: foreignImage, platform: { os: "linux", architecture: "riscv64" } })
    await importBusybox(place, { name: unusableImage, platform: { os: "linux", architecture: "s390x" } })
    // As kubelet does for a pod.
    hierarchies = await withCgroups(({ make }) => make(parent))
    daemon = await startDaemon(place)
  }, 60_000)

  afterAll(async () => {
    await removeAllPods(daemon.client)
    await daemon.stop()
    await withCgroups(({ remove }) => remove(parent))
    rmSync(directory, { recursive: true })
  }, 60_000)

  const runPod = async (runtimeHandler: string, cgroupParent = parent) => {
    const metadata = { name: "monitors", namespace: "default", uid: `uid-${pods++}`, attempt: 0 }
    const linux = { cgroupParent, securityContext: { namespaceOptions } }
    const config = { metadata, logDirectory: `${directory}/logs`, linux }
    mkdirSync(`${directory}/logs`, { recursive: true })
    return (await daemon.client.runPodSandbox({ config, runtimeHandler })).podSandboxId
  }

  const start = async (handler: string, command: string, name = image) => startIn(await runPod(handler), command, name)

  const startIn = async (podSandboxId: string, command: string, name = image) => {
    const { containerId } = await daemon.client.createContainer({
      podSandboxId,
      config: {
        metadata: { name: "main", attempt: 0 },
        image: { image: name, userSpecifiedImage: name },
        command: ["sh", "-c", command],
        linux: { securityContext: { namespaceOptions } }
      }
    })
    await daemon.client.startContainer({ containerId })
    return containerId
  }

  const pidIn = (containerId: string, file: "pidfile" | "conmon-pidfile") =>
    Number(readFileSync(`${daemon.place.runroot}/overlay-containers/${containerId}/userdata/${file}`, "utf8"))

  const exited = async (containerId: string) => {
    for (let looks = 0; looks < 200; looks++) {
      const { status } = await daemon.client.containerStatus({ containerId })
      if (status?.state === ContainerState.CONTAINER_EXITED) return status
      await sleep(100)
    }
    return expect.fail("it runs on")
  }

  /** Cgroups of the pods' parent that have to do with a container. */
  const cgroupsLeft = (containerId: string) =>
    hierarchies.flatMap((hierarchy) => readdirSync(hierarchy).filter((name) => name.includes(containerId)))

  /** The runtime of an exec in the container, a child of the daemon. */
  const execRuntime = (containerId: string) =>
    readdirSync("/proc").find((pid) => {
      if (!/^\d+$/.test(pid) || !existsSync(`/proc/${pid}/cmdline`)) return false
      try {
        const [, after = ""] = readFileSync(`/proc/${pid}/stat`, "utf8").split(/.*\) /)
        const argv = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0")
        return Number(after.split(" ")[1]) === daemon.process.pid && argv.includes("exec") && argv.includes(containerId)
      } catch {
        // Gone meanwhile.
        return false
      }
    })

  /** Where an exec's runtime runs, at the latest when it is where it is expected. */
  const execCgroups = async (containerId: string, expected: ReadonlyArray<string>) => {
    let ended = false
    const running = daemon.client
      .execSync({ containerId, cmd: ["sleep", "3"], timeout: 20 })
      // Its container may be stopped while it is still set up.
      .catch(() => {})
      .finally(() => void (ended = true))
    let found: ReadonlyArray<string> = ["nowhere"]
    while (!ended && found.join() !== expected.join()) {
      await sleep(20)
      const pid = execRuntime(containerId)
      if (pid !== undefined && existsSync(`/proc/${pid}/cgroup`)) found = cgroupsOf(pid)
    }
    await daemon.client.stopContainer({ containerId, timeout: 0 })
    await running
    return found
  }

  it("run in the daemon's cgroup as a rule, and in one of their own in the pod's where that is asked for", async () => {
    const own = cgroupsOf(daemon.process.pid as number)
    const ordinary = await start("", "sleep 100000")
    expect(cgroupsOf(pidIn(ordinary, "conmon-pidfile"))).toEqual(own)
    const inPod = await start("inpod", "sleep 100000")
    expect(cgroupsOf(pidIn(inPod, "conmon-pidfile"))).toEqual([`${parent}/crio-conmon-${inPod}`])
    expect(cgroupsOf(pidIn(inPod, "pidfile"))).toEqual([`${parent}/crio-${inPod}`])
    expect(cgroupsLeft(inPod)).toHaveLength(2 * hierarchies.length)

    for (const [containerId, expected] of [
      [ordinary, own],
      [inPod, [`${parent}/crio-${inPod}`]]
    ] as const) {
      expect(await execCgroups(containerId, expected)).toEqual(expected)
    }
    for (const containerId of [ordinary, inPod]) {
      await daemon.client.removeContainer({ containerId })
      expect(cgroupsLeft(containerId)).toEqual([])
    }
  }, 60_000)

  it("count among the pod's processes where they are in its cgroup", async () => {
    const counts: Array<number> = []
    for (const handler of ["", "inpod"]) {
      const podSandboxId = await runPod(handler, `${parent}/pod${handler}`)
      const containerId = await startIn(podSandboxId, "exec sleep 100000")
      const { stats } = await daemon.client.podSandboxStats({ podSandboxId })
      counts.push(Number(stats?.linux?.process?.processCount?.value))
      await daemon.client.removeContainer({ containerId })
    }
    expect(counts).toEqual([1, 2])
  }, 30_000)

  it("record every end before they go with their cgroups", async () => {
    const ended = await start("inpod", "sleep 0.2; exit 7")
    expect((await exited(ended)).exitCode).toBe(7)
    const stopped = await start("inpod", "trap '' TERM; while :; do sleep 1; done")
    await daemon.client.stopContainer({ containerId: stopped, timeout: 1 })
    expect((await exited(stopped)).exitCode).toBe(137)
    for (const containerId of [ended, stopped]) {
      await daemon.client.removeContainer({ containerId })
      expect(cgroupsLeft(containerId)).toEqual([])
    }
  }, 60_000)

  it("that are killed with all else in the pod's cgroup leave an end of unknown kind, and no cgroup", async () => {
    const containerId = await start("inpod", "sleep 100000")
    // As kubelet does with the cgroup of a pod that it has forgotten.
    const killed = await withCgroups(({ processes }) => processes(parent))
    expect(killed).toContain(pidIn(containerId, "conmon-pidfile"))
    for (const pid of killed) process.kill(pid, "SIGKILL")
    const { exitCode, reason } = await exited(containerId)
    expect([
      [255, "Unknown"],
      [137, "Error"]
    ]).toContainEqual([exitCode, reason])
    await daemon.client.removeContainer({ containerId })
    expect(cgroupsLeft(containerId)).toEqual([])
  }, 60_000)

  it("outlive a daemon that is killed, and the next one gives their cgroups back", async () => {
    const containerId = await start("inpod", "sleep 100000")
    const monitor = pidIn(containerId, "conmon-pidfile")
    await daemon.stop("SIGKILL")
    daemon = await startDaemon(daemon.place)
    expect(cgroupsOf(monitor)).toEqual([`${parent}/crio-conmon-${containerId}`])
    await daemon.client.stopContainer({ containerId, timeout: 0 })
    expect((await exited(containerId)).exitCode).toBe(137)
    await daemon.client.removeContainer({ containerId })
    expect(cgroupsLeft(containerId)).toEqual([])
  }, 60_000)

  it("monitor_path names the program that they are", async () => {
    const ordinary = await start("", "sleep 100000")
    const watched = await start("foreign", "sleep 100000")
    const monitored = readFileSync(`${directory}/monitored`, "utf8")
    expect([monitored.includes(` -c ${watched} `), monitored.includes(ordinary)]).toEqual([true, false])
    for (const containerId of [ordinary, watched]) await daemon.client.removeContainer({ containerId })
  }, 30_000)

  it("platform_runtime_paths name the program for images of a platform, from the first command to the last", async () => {
    const own = await start("foreign", "sleep 100000")
    const foreign = await start("foreign", "sleep 100000", foreignImage)
    const { stdout } = await daemon.client.execSync({ containerId: foreign, cmd: ["echo", "ran"], timeout: 20 })
    expect(Buffer.from(stdout).toString()).toBe("ran\n")
    await daemon.client.updateContainerResources({ containerId: foreign, linux: { cpuShares: 512n } })
    for (const containerId of [own, foreign]) await daemon.client.removeContainer({ containerId })
    const watched = readFileSync(`${directory}/watched`, "utf8").trim().split("\n")
    expect(watched.filter((line) => line.includes(own))).toEqual([])
    for (const command of ["create", "start", "exec", "update", "delete"]) {
      expect(watched.filter((line) => line.split(" ").includes(command) && line.includes(foreign))).toHaveLength(1)
    }
  }, 60_000)

  it("an image whose platform has no usable program is refused with the reason, which the log has from the start", async () => {
    await expect(start("foreign", "true", unusableImage)).rejects.toThrow(
      /platform_runtime_paths linux\/s390x: \S+\/none is not an executable file/
    )
    expect(readFileSync(`${directory}/cricket.log`, "utf8")).toMatch(
      /runtime handler foreign, platform_runtime_paths linux\/s390x: \S+\/none is not an executable file.* are refused/
    )
  }, 30_000)
})
