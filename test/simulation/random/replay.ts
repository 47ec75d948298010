/** `node test/simulation/random/replay.ts SEED|FILE`: one random run with its log and its findings. */
import { readFileSync } from "node:fs"
import { drawPlan, type Plan } from "./commands.ts"
import { runRandom } from "./run.ts"

const [what = ""] = process.argv.slice(2)
const plan = /^\d+$/.test(what) ? drawPlan(Number(what)) : (JSON.parse(readFileSync(what, "utf8")) as Plan)
const { log, failures } = await runRandom(plan)
process.stdout.write(`${log.join("\n")}\n\n${failures.join("\n") || "nothing wrong"}\n`)
process.exitCode = failures.length === 0 ? 0 : 1
