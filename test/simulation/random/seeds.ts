/** Seeds by the thousand, shared among the machine's cores. */
import { crew } from "../crew/Crew.ts"
import type { SeedRuns } from "./seedRuns.ts"
import type { Sight } from "./sights.ts"

export type SeedReport = SeedRuns & { readonly wallMs: number }

/** A second of work or two. */
const seedsAtATime = 10

export const sweepSeeds = async (first: number, count: number): Promise<SeedReport> => {
  const began = performance.now()
  const seeds = Array.from({ length: count }, (_, index) => first + index)
  const some: Array<ReadonlyArray<number>> = []
  for (let at = 0; at < count; at += seedsAtATime) some.push(seeds.slice(at, at + seedsAtATime))
  const parts = await Promise.all(some.map((part) => crew.run("seeds", part)))
  const sights = new Map<Sight, number>()
  for (const part of parts) {
    for (const [sight, runs] of part.sights) sights.set(sight, (sights.get(sight) ?? 0) + runs)
  }
  const sum = (of: (part: SeedRuns) => number) => parts.reduce((total, part) => total + of(part), 0)
  return {
    seeds: sum(({ seeds }) => seeds),
    commands: sum(({ commands }) => commands),
    undecided: sum(({ undecided }) => undecided),
    repeated: sum(({ repeated }) => repeated),
    failed: parts.flatMap(({ failed }) => failed),
    sights,
    wallMs: performance.now() - began
  }
}
