/** One of the crew: does the jobs that it is sent, one at a time, until whoever sends them is gone. */
import type { Request, Response } from "./Crew.ts"
import { jobs } from "./jobs.ts"

// Refusals of the simulated kernel are errors by the million; nobody reads their stacks.
Error.stackTraceLimit = 0

const work = async ({ name, input }: Request): Promise<Response> => {
  try {
    return { output: await (jobs[name] as (input: unknown) => Promise<unknown>)(input) }
  } catch (error) {
    return { error: `${name}: ${String(error)}` }
  }
}

process.on("message", (request: Request) => void work(request).then((response) => process.send?.(response)))
process.on("disconnect", () => process.exit())
