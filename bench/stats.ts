/**
 * npm run bench -- stats: ListContainerStats of many running containers, by Cricket and by Debian's containerd. Started
 * by scripts/bench.mjs in mount and network namespaces of its own.
 */
import { randomBytes } from "node:crypto"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { type Contestant, timed } from "./Contestant.ts"
import { makeContainerd } from "./containerd.ts"
import { makeCricket } from "./cricket.ts"
import { load, makeImages, onGround, placeFor, say } from "./ground.ts"
import { processorTime } from "./processes.ts"
import { figuresOf, table } from "./statistics.ts"

const { values: options } = parseArgs({
  options: {
    runtime: { type: "string", default: "crun" },
    containers: { type: "string", default: "50" },
    calls: { type: "string", default: "100" },
    idle: { type: "string", default: "30" },
    on: { type: "string", default: "loop" },
    json: { type: "boolean", default: false }
  }
})
const runtime = options.runtime === "runc" ? "runc" : "crun"
const containers = Number(options.containers)
const calls = Number(options.calls)
/** Seconds without a request. */
const idle = Number(options.idle)
const top = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "")
const cgroupParent = `/cricket-bench-${randomBytes(4).toString("hex")}`

type DaemonOf = NonNullable<Contestant["daemon"]>
interface Daemon extends DaemonOf {
  readonly name: string
}

const inRow = "in a row"
const apart = "700 ms apart"
const beginAfter = 700
/** Of those that are apart: each finds no sample that it could take. */
const apartCalls = Math.min(calls, 25)
const warmUp = 5

/** Milliseconds of each call. */
const measure = async ({ listStats }: Daemon, count: number, pauseMs: number): Promise<ReadonlyArray<number>> => {
  const samples: Array<number> = []
  for (let call = 0; call < count; call++) {
    if (pauseMs > 0) await sleep(pauseMs)
    samples.push(await timed(listStats))
  }
  return samples
}

type Pod = ReturnType<Contestant["pod"]>

const startPods = async (contestant: Contestant, started: Array<Pod>): Promise<void> => {
  for (let number = 0; number < containers; number++) {
    const pod = contestant.pod(number)
    await pod.RunPodSandbox()
    started.push(pod)
    await pod.CreateContainer()
    await pod.StartContainer()
  }
  say(`${contestant.name}: ${containers} containers run`)
}

/** Milliseconds of the daemon's own processor time. */
const processorOf = async ({ pid }: Daemon, work: () => Promise<unknown>): Promise<number> => {
  const before = processorTime(pid())
  await work()
  return processorTime(pid()) - before
}

const measureAll = async (directory: string): Promise<void> => {
  const before = load()
  const { layout, pauseLayout } = makeImages(directory)
  const common = { runtime, cgroupParent }
  const place = (name: string) => placeFor(directory, name)
  const program = `${top}/bin/cricket`
  const cricket = await makeCricket({
    ...common,
    name: "cricket",
    program,
    layout,
    directory: place("cricket"),
    network: 75
  })
  const contestants: Array<Contestant> = [cricket.contestant]
  const started: Array<Pod> = []
  try {
    const layouts = [layout, pauseLayout]
    contestants.push(await makeContainerd({ ...common, layouts, directory: place("containerd"), network: 76 }))
    for (const contestant of contestants) await startPods(contestant, started)
    const daemons = contestants.flatMap(({ name, daemon }) => (daemon === undefined ? [] : [{ name, ...daemon }]))
    const results: Array<{ readonly what: string; readonly name: string; readonly samples: ReadonlyArray<number> }> = []
    for (const daemon of daemons) {
      const { name, listStats } = daemon
      const answered = await listStats()
      if (answered !== containers) throw new Error(`${name} has statistics of ${answered} of ${containers} containers`)
      // What the first question has begun, the measuring of layers, ends.
      await sleep(5000)
      const without = await processorOf(daemon, () => sleep(idle * 1000))
      await measure(daemon, warmUp, 0)
      let samples: ReadonlyArray<number> = []
      const used = await processorOf(daemon, async () => (samples = await measure(daemon, calls, 0)))
      results.push(
        { what: inRow, name, samples },
        { what: apart, name, samples: await measure(daemon, apartCalls, beginAfter) },
        { what: "daemon's CPU per call in a row", name, samples: [used / calls] },
        { what: "daemon's CPU per minute when nobody asks", name, samples: [(without * 60) / idle] }
      )
    }
    const facts = { runtime, on: options.on, containers, calls, load: [before, load()] }
    if (options.json) {
      process.stdout.write(`${JSON.stringify({ ...facts, results }, null, 2)}\n`)
      return
    }
    const medianOf = (what: string, name: string) =>
      figuresOf(results.find((one) => one.what === what && one.name === name)?.samples ?? []).median
    const rows = results
      .toSorted((left, right) => (left.what < right.what ? 1 : left.what > right.what ? -1 : 0))
      .map(({ what, name, samples }) => {
        const { median, min, p90, count } = figuresOf(samples)
        const cells = count === 1 ? [median.toFixed(2), "", ""] : [median, min, p90].map((value) => value.toFixed(1))
        const ratio = name === "containerd" ? "" : (median / medianOf(what, "containerd")).toFixed(3)
        return [what, name, ...cells, String(count), ratio]
      })
    process.stdout.write(
      `${table([["", "", "median", "min", "p90", "n", "/containerd"], ...rows])}\n\n` +
        `milliseconds, as a client sees them; ListContainerStats of ${containers} running containers, each in a pod of ` +
        `its own; ${runtime}, load ${before} before, ${load()} after\n`
    )
  } finally {
    for (const pod of started) await pod.teardown().catch((error: unknown) => say(String(error)))
    for (const contestant of contestants) await contestant.close()
  }
}

await onGround({ on: options.on, cgroupParent }, measureAll)
