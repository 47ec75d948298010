/** Runs over a mutated tree: looks for the first thing that goes wrong, as the mutation's header says, and prints it. */
import { exhaust } from "../../world/exhaust.ts"
import { drawPlan } from "../random/commands.ts"
import { runRandom } from "../random/run.ts"
import { podWalk } from "../support/podWalk.ts"
import type { Search } from "./mutations.ts"

// Refusals of the simulated kernel are errors by the million; nobody reads their stacks.
Error.stackTraceLimit = 0

const sweep = async ({ kinds, steps, when, after, walk }: Extract<Search, { readonly kinds: unknown }>) => {
  const report = await exhaust({
    make: podWalk(walk),
    kinds,
    maxFailures: 1,
    ...(steps === undefined ? {} : { steps }),
    ...(when === undefined ? {} : { when }),
    ...(after === undefined ? {} : { after })
  })
  return report.failed.flatMap(({ title, failures }) => [title, ...failures])
}

const seeds = async ({ first, count }: Extract<Search, { readonly first: unknown }>) => {
  for (let seed = first; seed < first + count; seed++) {
    const { failures } = await runRandom(drawPlan(seed))
    if (failures.length > 0) return [`seed ${seed}`, ...failures]
  }
  return []
}

const search = JSON.parse(process.argv[2] ?? "") as Search
process.stdout.write((await ("kinds" in search ? sweep(search) : seeds(search))).join("\n"))
