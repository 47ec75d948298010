/** Faults at the points of the pod's walk, shared among the machine's cores. */
import { availableParallelism } from "node:os"
import { Worker } from "node:worker_threads"
import { mergeReports, type ExhaustOptions, type Report } from "../../world/exhaust.ts"
import type { WalkOptions } from "./podWalk.ts"

export interface SweepOptions extends Omit<ExhaustOptions<never>, "make"> {
  readonly walk?: WalkOptions
}

const runShard = (workerData: SweepOptions): Promise<Report> =>
  new Promise((resolve, reject) => {
    // Plain Node, without what a test runner adds to its own processes.
    const worker = new Worker(new URL("sweepWorker.ts", import.meta.url), { workerData, execArgv: [], env: {} })
    worker.once("message", resolve)
    worker.once("error", reject)
    worker.once("exit", (code) => reject(new Error(`a shard ended with ${code} before its report`)))
  })

export const sweep = async (options: SweepOptions): Promise<Report> => {
  const of = availableParallelism()
  const shards = Array.from({ length: of }, (_, index) => runShard({ ...options, shard: { index, of } }))
  return mergeReports(await Promise.all(shards))
}

export const replayCommand =
  ({ after = "retry", walk }: SweepOptions) =>
  (plan: string): string =>
    `node test/simulation/replay.ts '${plan}' ${after}${walk === undefined ? "" : ` '${JSON.stringify(walk)}'`}`
