/** `node test/simulation/replay.ts PLAN [retry|cleanup] [WALK]`: one run of the pod's walk with its log and its findings. */
import type { FaultPlan } from "../world/Calls.ts"
import { describePlan, runScenario } from "../world/Simulation.ts"
import { podWalk, type WalkOptions } from "./support/podWalk.ts"

const [text = "null", after = "retry", walkText = "{}"] = process.argv.slice(2)
const plan = JSON.parse(text) as FaultPlan | null
const walk = JSON.parse(walkText) as WalkOptions
const { held } = await runScenario(podWalk(walk))
const result = await runScenario(podWalk(walk), {
  accepted: held,
  after: after === "cleanup" ? "cleanup" : "retry",
  ...(plan === null ? {} : { plan })
})
const title = plan === null ? "without faults" : describePlan(plan, result.struck)
process.stdout.write(`${result.log.join("\n")}\n\n${title}\n${result.failures.join("\n") || "nothing wrong"}\n`)
process.exitCode = result.failures.length === 0 ? 0 : 1
