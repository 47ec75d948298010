/** Where a drawn fault can strike, and what it does to the call that it meets. */
import { possibleErrors, type CallRecord, type Fault } from "../../world/Calls.ts"
import type { RandomFault } from "./commands.ts"

export const canStrike = ({ kind }: RandomFault, call: CallRecord): boolean => {
  if (kind === "exit" || kind === "kill") return call.where === "program"
  if (kind === "fail") return call.where === "seam" && possibleErrors(call).length > 0
  // Nobody interrupts the daemon's own work but its end.
  const own = call.step === "Start" || call.step === "background"
  if (kind === "interrupt") return call.where === "seam" && call.failable && !own
  return true
}

export const faultOf = ({ kind, pick }: RandomFault, call: CallRecord): Fault => {
  const when = call.where === "program" || pick % 2 === 0 ? "before" : "after"
  switch (kind) {
    case "fail": {
      const errors = possibleErrors(call)
      return { kind, code: errors[pick % errors.length] as string }
    }
    case "exit":
    case "kill":
      return { kind }
    case "power":
      return { kind, when, loss: pick % 4 < 2 ? "all" : "content" }
    default:
      return { kind, when }
  }
}
