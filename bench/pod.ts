/**
 * npm run bench -- pod: one pod at a time, in interleaved rounds, by Cricket, by Debian's containerd and by a script
 * that runs the same parts without a daemon. Started by scripts/bench.mjs in mount and network namespaces of its own.
 */
import { randomBytes } from "node:crypto"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { type Contestant, steps, timed } from "./Contestant.ts"
import { makeContainerd } from "./containerd.ts"
import { makeCricket } from "./cricket.ts"
import { makeFloor } from "./floor.ts"
import { load, makeImages, onGround, placeFor, say } from "./ground.ts"
import { memoryOf, processorTime } from "./processes.ts"
import { figuresOf, table } from "./statistics.ts"

const { values: options } = parseArgs({
  options: {
    runtime: { type: "string", default: "crun" },
    rounds: { type: "string", default: "20" },
    starts: { type: "string", default: "7" },
    on: { type: "string", default: "loop" },
    beside: { type: "string" },
    only: { type: "string", default: "cricket,beside,containerd,floor" },
    json: { type: "boolean", default: false }
  }
})
const runtime = options.runtime === "runc" ? "runc" : "crun"
const rounds = Number(options.rounds)
const starts = Number(options.starts)
const wanted = options.only.split(",")
const top = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "")
const cgroupParent = `/cricket-bench-${randomBytes(4).toString("hex")}`

// Seconds without a request before memory is read.
const idleSeconds = 10
// The first pods of a daemon pay for what later ones find ready.
const warmUp = 3

const makeContestants = async (directory: string): Promise<ReadonlyArray<Contestant>> => {
  const { layout, pauseLayout } = makeImages(directory)
  const common = { layout, runtime, cgroupParent }
  const cricketDirectory = placeFor(directory, "cricket")
  const program = `${top}/bin/cricket`
  const cricket = await makeCricket({ ...common, name: "cricket", program, directory: cricketDirectory, network: 71 })
  const contestants = [cricket.contestant]
  if (options.beside !== undefined && wanted.includes("beside")) {
    const place = { directory: placeFor(directory, "beside"), network: 72 }
    const beside = await makeCricket({ ...common, ...place, name: "beside", program: options.beside })
    contestants.push(beside.contestant)
  }
  if (wanted.includes("containerd")) {
    const place = { directory: placeFor(directory, "containerd"), network: 73, layouts: [layout, pauseLayout] }
    contestants.push(await makeContainerd({ ...common, ...place }))
  }
  if (wanted.includes("floor")) {
    const place = { directory: placeFor(directory, "floor"), network: 74, rootfs: `${directory}/rootfs` }
    contestants.push(makeFloor({ ...place, cricketDirectory, runtime, specification: cricket.specification }))
  }
  return contestants
}

const together = "Run+Create+Start"
const startUp = "exec to Version"
const idle = "idle daemon, MiB PSS"
const idleResident = "idle daemon, MiB RSS"
const companion = "per running pod, MiB PSS"
const processor = "daemon CPU per pod"
const measured = [together, ...steps, processor, startUp, idle, idleResident, companion]

/** Samples by contestant and what was measured: milliseconds, or MiB for memory. */
class Samples {
  private readonly byName = new Map<string, Array<number>>()

  add(contestant: string, what: string, value: number): void {
    const key = `${contestant}\t${what}`
    this.byName.set(key, [...(this.byName.get(key) ?? []), value])
  }

  of(contestant: string, what: string): ReadonlyArray<number> {
    return this.byName.get(`${contestant}\t${what}`) ?? []
  }
}

const runPods = async (contestants: ReadonlyArray<Contestant>, samples: Samples): Promise<void> => {
  for (let round = -warmUp; round < rounds; round++) {
    // Everybody comes first equally often.
    const turn = Math.abs(round) % contestants.length
    const order = round < 0 ? contestants : [...contestants.slice(turn), ...contestants.slice(0, turn)]
    for (const contestant of order) {
      const pod = contestant.pod(round + warmUp)
      const { name, daemon } = contestant
      const used = daemon === undefined ? 0 : processorTime(daemon.pid())
      let sum = 0
      for (const step of steps) {
        if (round === rounds - 1 && step === "teardown") {
          samples.add(
            name,
            companion,
            contestant.companions().reduce((total, pid) => total + memoryOf(pid).pss, 0)
          )
        }
        const took = await timed(pod[step])
        if (round < 0) continue
        samples.add(name, step, took)
        if (step !== "ExecSync" && step !== "teardown") sum += took
      }
      if (round < 0) continue
      samples.add(name, together, sum)
      if (daemon !== undefined) samples.add(name, processor, processorTime(daemon.pid()) - used)
    }
    if (round % 5 === 4) say(`${round + 1} of ${rounds} rounds`)
  }
}

const measureDaemons = async (contestants: ReadonlyArray<Contestant>, samples: Samples): Promise<void> => {
  await sleep(idleSeconds * 1000)
  for (const { name, daemon } of contestants) {
    if (daemon === undefined) continue
    const { pss, rss } = memoryOf(daemon.pid())
    samples.add(name, idle, pss)
    samples.add(name, idleResident, rss)
  }
  for (let round = 0; round < starts; round++) {
    for (const { name, daemon } of contestants) if (daemon) samples.add(name, startUp, await daemon.restart())
  }
}

const report = (contestants: ReadonlyArray<Contestant>, samples: Samples): string => {
  const number = (value: number) => (Number.isNaN(value) ? "" : value.toFixed(1))
  const ratio = (a: number, b: number | undefined) => (b === undefined || Number.isNaN(b) ? "" : (a / b).toFixed(2))
  const rows = measured.flatMap((what) =>
    contestants.flatMap(({ name }) => {
      const { median, min, p90, count } = figuresOf(samples.of(name, what))
      if (count === 0) return []
      const against = (other: string) =>
        other === name ? "" : ratio(median, figuresOf(samples.of(other, what)).median)
      const cells = [number(median), number(min), number(p90), String(count)]
      return [[what, name, ...cells, against("containerd"), against("floor")]]
    })
  )
  return table([["", "", "median", "min", "p90", "n", "/containerd", "/floor"], ...rows])
}

const measureAll = async (directory: string): Promise<void> => {
  const before = load()
  const contestants = await makeContestants(directory)
  try {
    const samples = new Samples()
    await runPods(contestants, samples)
    await measureDaemons(contestants, samples)
    const facts = { runtime, on: options.on, rounds, load: [before, load()] }
    if (options.json) {
      const figures = contestants.map(({ name }) => {
        const all = measured.map((what) => [what, samples.of(name, what)])
        return [name, Object.fromEntries(all.map(([what, of]) => [what, { ...figuresOf(of as []), samples: of }]))]
      })
      process.stdout.write(`${JSON.stringify({ ...facts, figures: Object.fromEntries(figures) }, null, 2)}\n`)
      return
    }
    process.stdout.write(
      `${report(contestants, samples)}\n\n` +
        `milliseconds unless told; ${rounds} interleaved rounds after ${warmUp} unmeasured ones, ${runtime}, ` +
        `stores on ${options.on}; load ${before} before, ${load()} after\n`
    )
  } finally {
    for (const contestant of contestants) await contestant.close()
  }
}

await onGround({ on: options.on, cgroupParent }, measureAll)
