/**
 * A first pod, from an image made on the spot to teardown, with the real daemon, network plugins, monitor and runtime.
 * Started by scripts/start.mjs in mount and network namespaces of its own.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync } from "node:fs"
import { get } from "node:http"
import { tmpdir } from "node:os"
import { setTimeout as sleep } from "node:timers/promises"
import { NamespaceMode } from "../../src/gen/runtime/v1/api.ts"
import { removeAllPods } from "../lib/criClient.ts"
import { preparePlace, type RunningDaemon, startDaemon } from "../lib/daemon.ts"
import { importBusybox } from "../lib/importImage.ts"
import { Steps } from "./Steps.ts"

const args = process.argv.slice(2)
const once = args.includes("--once")
const json = args.includes("--json")
const runtime = args[args.indexOf("--runtime") + 1] === "runc" ? "runc" : "crun"
const image = "docker.io/library/busybox:latest"
/** Chosen anew in each run, so that what comes back cannot be anything else's. */
const nonce = randomBytes(6).toString("hex")

const fetchPage = (address: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const request = get({ host: address, port: 8080, path: "/", timeout: 2000 }, (response) => {
      let text = ""
      response.setEncoding("utf8")
      response.on("data", (chunk: string) => (text += chunk))
      response.on("end", () => resolve(text))
    })
    request.on("error", reject)
    request.on("timeout", () => request.destroy(new Error("no answer in 2 s")))
  })

/** The server inside needs a moment after its start. */
const eventually = async <A>(attempt: () => Promise<A>): Promise<A> => {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt()
    } catch (error) {
      if (tries === 100) throw error
      await sleep(20)
    }
  }
}

const expect = (what: string, text: string): string => {
  if (!text.includes(nonce)) throw new Error(`${what} does not hold this run's ${nonce}: ${JSON.stringify(text)}`)
  return text.trim()
}

/** As kubelet asks for an ordinary pod. */
const ownNamespaces = { network: NamespaceMode.POD, pid: NamespaceMode.CONTAINER, ipc: NamespaceMode.POD }

const podConfig = (logDirectory: string) => ({
  metadata: { name: "first", namespace: "default", uid: nonce, attempt: 0 },
  hostname: "first-pod",
  logDirectory,
  linux: { securityContext: { namespaceOptions: ownNamespaces } }
})

const runPod = async ({ client, place }: RunningDaemon, steps: Steps): Promise<void> => {
  const logDirectory = `${place.logs}/first`
  mkdirSync(logDirectory, { recursive: true })
  const config = podConfig(logDirectory)
  const { podSandboxId } = await steps.run("RunPodSandbox", async () => {
    const started = await client.runPodSandbox({ config })
    const { status } = await client.podSandboxStatus({ podSandboxId: started.podSandboxId })
    return [started, `address ${status?.network?.ip}`]
  })
  const { containerId } = await steps.run("CreateContainer", async () => {
    // The first process of a PID namespace dies of no signal that it does not handle.
    const script = `trap 'kill $!; exit 0' TERM; echo started ${nonce}; httpd -f -p 8080 -h /www & wait`
    const made = await client.createContainer({
      podSandboxId,
      config: {
        metadata: { name: "web", attempt: 0 },
        image: { image, userSpecifiedImage: image },
        command: ["sh", "-c", script],
        logPath: "web.log",
        linux: { securityContext: { namespaceOptions: ownNamespaces } }
      },
      sandboxConfig: config
    })
    return [made, made.containerId.slice(0, 13)]
  })
  await steps.run("StartContainer", async () => [await client.startContainer({ containerId }), "running"])
  await steps.run("page", async () => {
    const { status } = await client.podSandboxStatus({ podSandboxId })
    const page = await eventually(() => fetchPage(status?.network?.ip ?? ""))
    return [page, expect("the page", page)]
  })
  await steps.run("log", async () => {
    const line = await eventually(async () => expect("the log", readFileSync(`${logDirectory}/web.log`, "utf8")))
    return [line, line]
  })
  await steps.run("ExecSync", async () => {
    const { stdout } = await client.execSync({ containerId, cmd: ["sh", "-c", `hostname; echo ${nonce}`], timeout: 10 })
    const text = expect("the exec's output", Buffer.from(stdout).toString())
    return [text, text.replaceAll("\n", " ")]
  })
  await steps.run("ContainerStats", async () => {
    const { stats } = await client.containerStats({ containerId })
    const memory = Number(stats?.memory?.workingSetBytes?.value ?? 0)
    return [memory, `${(memory / 1024).toFixed(0)} KiB working set`]
  })
  await steps.run("StopContainer", async () => {
    await client.stopContainer({ containerId, timeout: 2 })
    const { status } = await client.containerStatus({ containerId })
    return [status, `exit code ${status?.exitCode}`]
  })
  await steps.run("RemovePodSandbox", async () => {
    await client.stopPodSandbox({ podSandboxId })
    await client.removePodSandbox({ podSandboxId })
    const { items } = await client.listPodSandbox({})
    return [items, `${items.length} pods left`]
  })
}

const untilSignal = (): Promise<void> =>
  new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve())
  })

const main = async (): Promise<void> => {
  // A network of our own starts without loopback.
  execFileSync("ip", ["link", "set", "lo", "up"])
  const directory = mkdtempSync(`${tmpdir()}/cricket-`)
  execFileSync("mount", ["-t", "tmpfs", "-o", "mode=0711", "cricket", directory])
  // libcni's record of attachments has one place on every host: in these namespaces it is ours.
  const ownRecords = !existsSync("/var/lib/cni")
  mkdirSync("/var/lib/cni", { recursive: true })
  execFileSync("mount", ["-t", "tmpfs", "cni", "/var/lib/cni"])
  const steps = new Steps(json ? () => {} : (line) => process.stdout.write(`${line}\n`))
  let daemon: RunningDaemon | undefined
  try {
    const place = preparePlace({ directory, runtime, network: 77 })
    await steps.run("image", async () => {
      const id = await importBusybox(place, { name: image, page: `hello from ${nonce}\n` })
      return [id, `${image} ${id.slice(0, 13)}`]
    })
    daemon = await steps.run("daemon", async () => {
      const started = await startDaemon(place)
      return [started, `listens on ${place.socket}`]
    })
    await runPod(daemon, steps)
    if (json) process.stdout.write(`${JSON.stringify({ runtime, nonce, steps: steps.done }, null, 2)}\n`)
    else process.stdout.write(`\n${steps.picture()}\n`)
    if (!once) {
      process.stdout.write(
        `\nthe daemon goes on (Ctrl-C ends it and gives everything back). From another shell:\n` +
          `  crictl --runtime-endpoint unix:///proc/${process.pid}/root${place.socket} ps -a\n` +
          `its log: /proc/${process.pid}/root${directory}/cricket.log\n`
      )
      await untilSignal()
    }
  } catch (error) {
    process.exitCode = 1
    const log = spawnSync("tail", ["-n", "30", `${directory}/cricket.log`], { encoding: "utf8" }).stdout
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${log}`)
  } finally {
    if (daemon !== undefined) {
      // Also those that somebody has started by crictl meanwhile.
      await removeAllPods(daemon.client).catch((error: unknown) => process.stderr.write(`${String(error)}\n`))
      await daemon.stop()
    }
    spawnSync("umount", ["-l", "/var/lib/cni"])
    if (ownRecords) rmdirSync("/var/lib/cni")
    spawnSync("umount", ["-l", directory])
    rmSync(directory, { recursive: true, force: true })
  }
}

await main()
