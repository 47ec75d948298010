/**
 * npm run bench -- exec: ExecSync as fast as it goes, 8 at a time, by the built daemon and by the bare runtime's `exec`
 * in turns; what the daemon's memory does meanwhile, and what is left of the commands.
 */
import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { mkdirSync, mkdtempSync, readFileSync, readlinkSync, writeFileSync } from "node:fs"
import { loadavg, tmpdir } from "node:os"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { NamespaceMode } from "../src/gen/runtime/v1/api.ts"
import { writeBusyboxRootfs } from "../scripts/lib/busyboxImage.ts"
import { preparePlace, startDaemon } from "../scripts/lib/daemon.ts"
import { writeLayout } from "../scripts/lib/imageLayout.ts"
import { importImage } from "../scripts/lib/importImage.ts"
import { command, image, timed } from "./Contestant.ts"
import { type Memory, memoryOf, processesWith, processorTime } from "./processes.ts"
import { table } from "./statistics.ts"

const { values: options } = parseArgs({
  options: {
    runtime: { type: "string", default: "crun,runc" },
    count: { type: "string", default: "3000" },
    parallel: { type: "string", default: "8" },
    profile: { type: "string" },
    json: { type: "boolean", default: false }
  }
})
const count = Number(options.count)
const parallel = Number(options.parallel)
/** Execs between two looks at the memory, and of one turn. */
const slice = 500
/** Flat: the proportional set after the last turn is at most so many times that after the first. */
const flat = 1.1
/** Milliseconds after which the daemon, asked nothing more, has given back what it does not need. */
const restMs = 75_000
const top = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "")

interface Turn {
  readonly done: number
  /** Execs each second. */
  readonly cricket: number
  readonly bare: number
  readonly memory: Memory
  /** Milliseconds of the daemon's own processor time for one exec. */
  readonly processor: number
}

const makeImage = (directory: string): string => {
  const rootfs = `${directory}/rootfs`
  mkdirSync(rootfs, { mode: 0o755 })
  writeBusyboxRootfs(rootfs)
  const layout = writeLayout(`${directory}/layout`)
  const config = { Env: ["PATH=/bin"], Cmd: command, WorkingDir: "/" }
  layout.addImage({ name: image, layers: [layout.addLayer(rootfs)], config })
  return `${directory}/layout`
}

const pidNamespace = (pid: number | string): string => {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`)
  } catch {
    return ""
  }
}

/** Processes in the container beside its first one, and runtimes that still work on it. */
const left = (containerId: string, init: number): number => {
  const own = pidNamespace(init)
  const inside = processesWith(() => true).filter((pid) => pid !== init && pidNamespace(pid) === own)
  const outside = processesWith(
    (argv) => argv.includes(containerId) && argv.includes("exec") && argv[0]?.endsWith("conmon") !== true
  )
  return new Set([...inside, ...outside]).size
}

/** The runtime's own `exec` of the same process, by xargs. */
const bareExecs = async (program: string, args: ReadonlyArray<string>, number: number): Promise<void> => {
  const child = spawn("xargs", ["-P", String(parallel), "-I", "{}", program, ...args], {
    stdio: ["pipe", "ignore", "inherit"]
  })
  child.stdin.end("x\n".repeat(number))
  const [code] = (await once(child, "exit")) as [number | null]
  if (code !== 0) throw new Error(`xargs ${program} ended with ${code}`)
}

const measure = async (directory: string, runtime: string, network: number) => {
  mkdirSync(`${directory}/run`, { recursive: true })
  execFileSync("mount", ["-t", "tmpfs", "-o", "mode=0755", "bench", `${directory}/run`])
  const place = preparePlace({ directory, runtime, network })
  await importImage({ graphRoot: place.root, runRoot: place.runroot, directory: makeImage(directory), name: image })
  const environment =
    options.profile === undefined ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${options.profile}` }
  const daemon = await startDaemon(place, { environment })
  try {
    const { client } = daemon
    const pid = daemon.process.pid ?? 0
    const namespaceOptions = { network: NamespaceMode.NODE, pid: NamespaceMode.CONTAINER, ipc: NamespaceMode.POD }
    const linux = { securityContext: { namespaceOptions } }
    const metadata = { name: "exec", namespace: "default", uid: "exec", attempt: 0 }
    const config = { metadata, logDirectory: place.logs, linux }
    const { podSandboxId } = await client.runPodSandbox({ config })
    const { containerId } = await client.createContainer({
      podSandboxId,
      config: { metadata: { name: "main", attempt: 0 }, image: { image, userSpecifiedImage: image }, command, linux },
      sandboxConfig: config
    })
    await client.startContainer({ containerId })
    const bundle = `${place.runroot}/overlay-containers/${containerId}/userdata`
    const init = Number(readFileSync(`${bundle}/pidfile`, "utf8"))
    const cmd = ["/bin/true"]
    const { process: own } = JSON.parse(readFileSync(`${bundle}/config.json`, "utf8")) as { readonly process: object }
    writeFileSync(`${directory}/run/exec.json`, JSON.stringify({ ...own, args: cmd }))
    const program = execFileSync("sh", ["-c", `command -v ${runtime}`], { encoding: "utf8" }).trim()
    const bare = [
      "--root",
      `${place.runroot}/${runtime}`,
      "exec",
      "--process",
      `${directory}/run/exec.json`,
      containerId
    ]

    const throughDaemon = async (number: number): Promise<void> => {
      let next = 0
      const worker = async () => {
        while (next++ < number) {
          const { exitCode } = await client.execSync({ containerId, cmd, timeout: 30 })
          if (exitCode !== 0) throw new Error(`exec ended with ${exitCode}`)
        }
      }
      await Promise.all(Array.from({ length: parallel }, worker))
    }

    await bareExecs(program, bare, 50)
    const before = memoryOf(pid)
    const turns: Array<Turn> = []
    for (let done = 0; done < count; done += slice) {
      const number = Math.min(slice, count - done)
      const used = processorTime(pid)
      const cricket = await timed(() => throughDaemon(number))
      const processor = (processorTime(pid) - used) / number
      const alone = await timed(() => bareExecs(program, bare, number))
      const perSecond = (ms: number) => (number * 1000) / ms
      turns.push({
        done: done + number,
        cricket: perSecond(cricket),
        bare: perSecond(alone),
        processor,
        memory: memoryOf(pid)
      })
    }
    // A command's runtime may be seen for a moment longer than its answer.
    await sleep(1000)
    const remaining = left(containerId, init)
    await sleep(restMs)
    const rested = memoryOf(pid)
    await client.stopContainer({ containerId, timeout: 0 })
    await client.stopPodSandbox({ podSandboxId })
    await client.removePodSandbox({ podSandboxId })
    return { turns, remaining, before, rested }
  } finally {
    await daemon.stop()
  }
}

type Result = Awaited<ReturnType<typeof measure>>

const megabytes = ({ pss, rss, anonymous }: Memory) => [pss, rss, anonymous].map((value) => value.toFixed(1))

const verdict = (turns: ReadonlyArray<Turn>): string => {
  const [first, last] = [turns[0], turns.at(-1)]
  if (first === undefined || last === undefined || first === last) return "too few execs to tell whether memory is flat"
  const ratio = (part: keyof Memory) => last.memory[part] / first.memory[part]
  const parts = (["pss", "rss", "anonymous"] as const).map((part) => ratio(part).toFixed(2)).join(", ")
  return (
    `memory is ${ratio("pss") <= flat ? "flat" : "NOT FLAT"}: after ${last.done} execs PSS, RSS and anonymous are ` +
    `${parts} of what they were after ${first.done}`
  )
}

const report = (runtime: string, { turns, remaining, before, rested }: Result): string => {
  const rows = turns.map((turn) => [
    runtime,
    `after ${turn.done}`,
    turn.cricket.toFixed(0),
    turn.bare.toFixed(0),
    (turn.cricket / turn.bare).toFixed(2),
    turn.processor.toFixed(2),
    ...megabytes(turn.memory)
  ])
  // Turns have the same number of execs, so their times add up to the whole's.
  const time = (per: (turn: Turn) => number) => turns.reduce((sum, turn) => sum + 1 / per(turn), 0)
  const ratio = time(({ bare }) => bare) / time(({ cricket }) => cricket)
  const memoryOnly = (when: string, memory: Memory) => [runtime, when, "", "", "", "", ...megabytes(memory)]
  const heading = ["", "", "execs/s", "bare", "ratio", "CPU ms", "PSS MiB", "RSS", "anonymous"]
  return (
    `${table([heading, memoryOnly("before", before), ...rows, memoryOnly(`${restMs / 1000} s later`, rested)])}\n` +
    `${runtime}: ratio of all ${ratio.toFixed(2)}, ${remaining} processes left; ${verdict(turns)}\n`
  )
}

const main = async (): Promise<void> => {
  execFileSync("ip", ["link", "set", "lo", "up"])
  const directory = mkdtempSync(`${tmpdir()}/cricket-bench-`)
  try {
    const results: Record<string, unknown> = {}
    for (const [index, runtime] of options.runtime.split(",").entries()) {
      const before = loadavg()[0]?.toFixed(1)
      const result = await measure(`${directory}/${runtime}`, runtime, 75 + index)
      const after = loadavg()[0]?.toFixed(1)
      results[runtime] = { ...result, load: [before, after] }
      if (!options.json) process.stdout.write(`${report(runtime, result)}load ${before} before, ${after} after\n\n`)
    }
    if (options.json) process.stdout.write(`${JSON.stringify(results, null, 2)}\n`)
  } catch (error) {
    process.exitCode = 1
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  } finally {
    execFileSync("sh", ["-c", `umount -R -l ${directory}/*/run 2>/dev/null; rm -rf ${directory}`], { cwd: top })
  }
}

await main()
