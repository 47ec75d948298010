/** One shard of a sweep, on a core of its own. */
import { parentPort, workerData } from "node:worker_threads"
import { exhaust } from "../../world/exhaust.ts"
import { podWalk } from "./podWalk.ts"
import type { SweepOptions } from "./sweep.ts"

parentPort?.postMessage(await exhaust({ make: podWalk(), ...(workerData as SweepOptions) }))
