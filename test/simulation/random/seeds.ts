/** Seeds by the thousand, shared among the machine's cores. */
import { availableParallelism } from "node:os"
import { Worker } from "node:worker_threads"
import type { Sight } from "./sights.ts"

export interface SeedRange {
  readonly first: number
  /** So many seeds at least. */
  readonly count: number
  /** And more until so many milliseconds have passed. */
  readonly untilMs: number
}

export interface SeedReport {
  readonly seeds: number
  readonly commands: number
  readonly undecided: number
  /** Seeds that were run twice, to see whether the log is the same. */
  readonly repeated: number
  readonly failed: ReadonlyArray<{ readonly seed: number; readonly failures: ReadonlyArray<string> }>
  /** In how many runs each state was reached. */
  readonly sights: ReadonlyMap<Sight, number>
  readonly wallMs: number
}

export type Shard = SeedRange & { readonly index: number; readonly of: number }

const runShard = (workerData: Shard): Promise<SeedReport> =>
  new Promise((resolve, reject) => {
    const worker = new Worker(new URL("seedWorker.ts", import.meta.url), { workerData, execArgv: [], env: {} })
    worker.once("message", resolve)
    worker.once("error", reject)
    worker.once("exit", (code) => reject(new Error(`a shard ended with ${code} before its report`)))
  })

export const runSeeds = async (range: SeedRange): Promise<SeedReport> => {
  const of = availableParallelism()
  const reports = await Promise.all(Array.from({ length: of }, (_, index) => runShard({ ...range, index, of })))
  const sights = new Map<Sight, number>()
  for (const report of reports) {
    for (const [sight, count] of report.sights) sights.set(sight, (sights.get(sight) ?? 0) + count)
  }
  const sum = (count: (report: SeedReport) => number) => reports.reduce((total, report) => total + count(report), 0)
  return {
    seeds: sum(({ seeds }) => seeds),
    commands: sum(({ commands }) => commands),
    undecided: sum(({ undecided }) => undecided),
    repeated: sum(({ repeated }) => repeated),
    failed: reports.flatMap(({ failed }) => failed),
    sights,
    wallMs: Math.max(...reports.map(({ wallMs }) => wallMs))
  }
}
