/** One shard of a sweep, on a core of its own. */
import { parentPort, workerData } from "node:worker_threads"
import { exhaust } from "../../world/exhaust.ts"
import { podWalk } from "./podWalk.ts"
import type { SweepOptions } from "./sweep.ts"

// Refusals of the simulated kernel are errors by the million; nobody reads their stacks.
Error.stackTraceLimit = 0

const { walk, ...options } = workerData as SweepOptions
parentPort?.postMessage(await exhaust({ make: podWalk(walk), ...options }))
