/** One shard of a sweep, on a core of its own. */
import { parentPort, workerData } from "node:worker_threads"
import { exhaust } from "../../world/exhaust.ts"
import { podWalk } from "./podWalk.ts"
import type { SweepOptions } from "./sweep.ts"

const { walk, ...options } = workerData as SweepOptions
parentPort?.postMessage(await exhaust({ make: podWalk(walk), ...options }))
