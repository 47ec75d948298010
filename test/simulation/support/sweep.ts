/** Faults at the points of the pod's walk, shared among the machine's cores. */
import { defaultMaxFailures, reportOf, type ExhaustOptions, type PlanRuns, type Report } from "../../world/exhaust.ts"
import { cores, crew } from "../crew/Crew.ts"
import type { WalkOptions } from "./podWalk.ts"

export interface SweepOptions extends Omit<ExhaustOptions<never>, "make"> {
  readonly walk?: WalkOptions
}

/** Under a second of work: the last one keeps the other cores waiting for no longer. */
const runsAtATime = 12

export const sweep = async ({ maxFailures = defaultMaxFailures, ...options }: SweepOptions): Promise<Report> => {
  const began = performance.now()
  const { reference, runs } = await crew.run("reference", options)
  const parts: Array<PlanRuns> = []
  let failures = 0
  let next = 0
  const takeParts = async () => {
    while (next < runs.length && failures < maxFailures) {
      const some = runs.slice(next, (next += runsAtATime))
      const part = await crew.run("plans", { options, runs: some, accepted: reference.held, maxFailures })
      failures += part.failed.length
      parts.push(part)
    }
  }
  await Promise.all(Array.from({ length: cores }, takeParts))
  return reportOf(reference, runs, parts, performance.now() - began)
}

export const replayCommand =
  ({ after = "retry", walk }: SweepOptions) =>
  (plan: string): string =>
    `node test/simulation/replay.ts '${plan}' ${after}${walk === undefined ? "" : ` '${JSON.stringify(walk)}'`}`
