/** `node test/simulation/replay.ts PLAN [retry|cleanup]`: one run of the pod's walk with its log and its findings. */
import type { FaultPlan } from "../world/Calls.ts"
import { describePlan, runScenario } from "../world/Simulation.ts"
import { podWalk } from "./support/podWalk.ts"

const [text = "null", after = "retry"] = process.argv.slice(2)
const plan = JSON.parse(text) as FaultPlan | null
const { held } = await runScenario(podWalk())
const result = await runScenario(podWalk(), {
  accepted: held,
  after: after === "cleanup" ? "cleanup" : "retry",
  ...(plan === null ? {} : { plan })
})
const title = plan === null ? "without faults" : describePlan(plan, result.struck)
process.stdout.write(`${result.log.join("\n")}\n\n${title}\n${result.failures.join("\n") || "nothing wrong"}\n`)
process.exitCode = result.failures.length === 0 ? 0 : 1
