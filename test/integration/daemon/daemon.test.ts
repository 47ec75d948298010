/** The daemon as a process: its lock, its end, a reboot and a damaged record, with real pods. */
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { execFileSync, spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { get } from "node:http"
import { setTimeout as sleep } from "node:timers/promises"
import { ContainerState, PodSandboxState } from "../../../src/gen/runtime/v1/api.ts"
import { image, Site } from "../faults/Site.ts"

let site: Site

beforeAll(async () => {
  site = new Site(81)
  await site.prepareImage()
  await site.start()
  await site.warmUp()
}, 60_000)

afterAll(async () => {
  await site?.end()
}, 60_000)

const runningContainer = async () => {
  const podSandboxId = await site.runPod()
  const containerId = await site.createContainer(podSandboxId)
  await site.client.startContainer({ containerId })
  return { podSandboxId, containerId }
}

const stateOf = async (containerId: string) => (await site.client.containerStatus({ containerId })).status?.state

const podStateOf = async (podSandboxId: string) => (await site.client.podSandboxStatus({ podSandboxId })).status?.state

/** The lease files of host-local: one per address that is given out. */
const leases = () => readdirSync(`${site.directory}/leases/pods81`).filter((name) => name.startsWith("10."))

const eventually = async (what: string, check: () => boolean | Promise<boolean>) => {
  for (let tries = 0; tries < 100; tries++) {
    if (await check()) return
    await sleep(100)
  }
  expect.fail(`${what}: not within 10 s`)
}

describe("kubelet's cAdvisor", () => {
  const ask = (path: string) =>
    new Promise<{ readonly status: number; readonly body: string }>((resolve, reject) => {
      get({ socketPath: site.place.socket, path, headers: { host: "crio" } }, (response) => {
        let body = ""
        response.on("data", (chunk) => (body += String(chunk)))
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body }))
      }).on("error", reject)
    })

  it("learns on the socket where the store lies, and of a container its process and what it has written", async () => {
    const { podSandboxId, containerId } = await runningContainer()
    expect(JSON.parse((await ask("/info")).body)).toMatchObject({
      storage_driver: "overlay",
      storage_root: site.place.root
    })
    const told = JSON.parse((await ask(`/containers/${containerId}`)).body)
    const { status } = await site.client.containerStatus({ containerId })
    expect(told).toMatchObject({ sandbox: podSandboxId, image: image, log_path: status?.logPath, host_network: false })
    // The name of its cgroup, by which cAdvisor finds it.
    expect(readFileSync(`/proc/${told.pid}/cgroup`, "utf8")).toMatch(new RegExp(`/crio-${containerId}$`, "m"))
    await site.client.execSync({ containerId, cmd: ["sh", "-c", "echo written >/by-the-container"], timeout: 20 })
    const layer = told.root.replace(/\/merged$/, "/diff")
    expect(readFileSync(`${layer}/by-the-container`, "utf8")).toBe("written\n")
    await site.client.removePodSandbox({ podSandboxId })
    expect(await ask(`/containers/${containerId}`)).toMatchObject({ status: 404 })
  }, 60_000)
})

describe("a second daemon", () => {
  it("on the same root is refused, says why, and leaves the first one's pods alone", async () => {
    const { podSandboxId, containerId } = await runningContainer()
    const config = `${site.directory}/second.conf`
    const text = readFileSync(site.place.config, "utf8").replace("cricket.sock", "second.sock")
    writeFileSync(config, text)
    const second = spawnSync("bin/cricket", ["--config", config, "--config-dir", `${site.directory}/none`], {
      encoding: "utf8",
      timeout: 20_000
    })
    expect(second.status).toBe(1)
    expect(second.stderr).toContain(`another cricket works on ${site.place.root}`)
    expect(await stateOf(containerId)).toBe(ContainerState.CONTAINER_RUNNING)
    await site.client.removePodSandbox({ podSandboxId })
  }, 60_000)

  it("on the same socket is refused while the first one listens", async () => {
    const config = `${site.directory}/other-root.conf`
    const { root, runroot } = site.place
    const text = readFileSync(site.place.config, "utf8")
      .replace(`root = "${root}"`, `root = "${site.directory}/other/root"`)
      .replace(`runroot = "${runroot}"`, `runroot = "${site.directory}/other/run"`)
    writeFileSync(config, text)
    const second = spawnSync("bin/cricket", ["--config", config, "--config-dir", `${site.directory}/none`], {
      encoding: "utf8",
      timeout: 20_000
    })
    expect(second.status).toBe(1)
    expect(second.stderr).toContain("another process is listening")
    expect((await site.client.version({})).runtimeName).toBe("cricket")
  }, 60_000)
})

describe("the daemon's end", () => {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    it(`${signal} ends it within 5 s and leaves containers running`, async () => {
      const { podSandboxId, containerId } = await runningContainer()
      const started = performance.now()
      expect(await site.daemon.stop(signal)).toBe(0)
      expect(performance.now() - started).toBeLessThan(5_500)
      expect(existsSync(site.place.socket)).toBe(false)
      await site.start()
      expect(await stateOf(containerId)).toBe(ContainerState.CONTAINER_RUNNING)
      await site.client.removePodSandbox({ podSandboxId })
    }, 60_000)
  }
})

describe("a reboot", () => {
  const otherBoot = "00000000-0000-4000-8000-000000000001"
  const shell = (script: string) => execFileSync("sh", ["-c", script], { encoding: "utf8" })

  /** What a reboot leaves of a host: no processes, no mounts, nothing on tmpfs, another boot id. */
  const reboot = async () => {
    const pids = shell(
      "cat /sys/fs/cgroup/pids/crio/crio-*/cgroup.procs /sys/fs/cgroup/crio/crio-*/cgroup.procs 2>/dev/null || true"
    )
    for (const pid of pids.split("\n").filter((text) => text !== "")) process.kill(Number(pid), "SIGKILL")
    await eventually("the monitors end", () => shell(`pgrep -f '^/usr/bin/conmon.*${site.directory}' || true`) === "")
    const mounts = readFileSync("/proc/self/mountinfo", "utf8")
      .split("\n")
      .map((line) => line.split(" ")[4] ?? "")
    for (const mount of mounts.filter((path) => path.startsWith(`${site.directory}/r`)).toReversed()) {
      execFileSync("umount", [mount])
    }
    rmSync(site.place.runroot, { recursive: true })
    mkdirSync(site.place.runroot)
    const bootId = `${site.directory}/boot_id`
    writeFileSync(bootId, `${otherBoot}\n`)
    execFileSync("mount", ["--bind", bootId, "/proc/sys/kernel/random/boot_id"])
  }

  it("leaves pods NotReady, their addresses given back, containers with what is known of them, images untouched", async () => {
    const before = site.state()
    const { podSandboxId, containerId } = await runningContainer()
    expect(leases()).toHaveLength(1)
    // What happened in the last half second may be lost with the power: such a start would be rolled back.
    await sleep(1500)
    await site.daemon.stop("SIGKILL")
    await reboot()
    try {
      await site.start()
      expect(await podStateOf(podSandboxId)).toBe(PodSandboxState.SANDBOX_NOTREADY)
      const { status } = await site.client.containerStatus({ containerId })
      expect(status).toMatchObject({ state: ContainerState.CONTAINER_EXITED, exitCode: 255, reason: "Unknown" })
      expect((await site.client.imageStatus({ image: { image } })).image?.repoTags).toEqual([image])
      await eventually("DEL gives the address back", () => leases().length === 0)
      await site.client.removePodSandbox({ podSandboxId })
      const again = await runningContainer()
      expect(await stateOf(again.containerId)).toBe(ContainerState.CONTAINER_RUNNING)
      await site.cleanUp()
    } finally {
      await site.daemon.stop()
      execFileSync("umount", ["/proc/sys/kernel/random/boot_id"])
      rmSync(`${site.place.runroot}/cricket/records/${otherBoot}`, { recursive: true, force: true })
      await site.start()
      await site.warmUp()
    }
    expect(await site.left(before)).toEqual([])
  }, 90_000)
})

describe("a damaged record", () => {
  it("keeps nobody from starting: its pod is given back, the file kept, the others run on", async () => {
    const before = site.state()
    const broken = await runningContainer()
    const sound = await runningContainer()
    await site.daemon.stop("SIGKILL")
    const record = `${site.place.root}/cricket/pods/${broken.podSandboxId}.json`
    for (const path of [record, ...recordsOnTmpfs(broken.podSandboxId)]) writeFileSync(path, '{"version":1,"id":')
    await site.start()
    expect(await stateOf(sound.containerId)).toBe(ContainerState.CONTAINER_RUNNING)
    await eventually("the damaged pod's container is removed", async () => {
      const { containers } = await site.client.listContainers({})
      return containers.every(({ id }) => id !== broken.containerId)
    })
    await eventually("its address is given back", () => leases().length === 1)
    await eventually("its file is put aside", () => existsSync(`${record}.bad`))
    for (const path of [`${record}.bad`, ...recordsOnTmpfs(broken.podSandboxId, ".json.bad")]) rmSync(path)
    expect(await site.left(before)).toEqual([])
  }, 90_000)

  const recordsOnTmpfs = (id: string, suffix = ".json"): ReadonlyArray<string> =>
    execFileSync("find", [`${site.place.runroot}/cricket/records`, "-name", `${id}${suffix}`], { encoding: "utf8" })
      .split("\n")
      .filter((path) => path !== "")
})
