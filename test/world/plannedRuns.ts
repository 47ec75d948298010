/** Which faults are planned, and which of them cannot differ: those share one run. */
import { possibleErrors, type CallRecord, type Fault, type FaultPlan, type When } from "./Calls.ts"

export type FaultKind = Fault["kind"]

export const allKinds: ReadonlyArray<FaultKind> = [
  "fail",
  "interrupt",
  "cancel",
  "terminate",
  "crash",
  "power",
  "exit",
  "kill"
]

export interface PlanOptions {
  /** Default: all. */
  readonly kinds?: ReadonlyArray<FaultKind>
  /**
   * Where crashes and interruptions strike. What comes after one call is before the next in the same fiber, so "before"
   * alone (the default) reaches nearly every state in half the time. A request is met on both sides always.
   */
  readonly when?: ReadonlyArray<When>
  readonly after?: "cleanup" | "retry"
  /** Only points of these steps. */
  readonly steps?: ReadonlyArray<string>
  /** Only points that are such calls. */
  readonly only?: (call: CallRecord) => boolean
}

/** A run, and the steps of all planned faults for which it stands; `alike`: those that are not its own. */
export interface PlannedRun {
  readonly plan: FaultPlan
  readonly steps: ReadonlyArray<string>
  readonly alike: ReadonlyArray<FaultPlan>
}

function* faultsOf(call: CallRecord, kinds: ReadonlySet<FaultKind>, whens: ReadonlyArray<When>): Generator<Fault> {
  const program = call.where === "program"
  const here = { program: ["before"], request: ["before", "after"], seam: whens } as const
  if (!program && kinds.has("fail")) for (const code of possibleErrors(call)) yield { kind: "fail", code }
  if (program && kinds.has("exit")) yield { kind: "exit" }
  if (program && kinds.has("kill")) yield { kind: "kill" }
  for (const when of here[call.where]) {
    // Nobody interrupts the daemon's own loops but its end, and that is "terminate".
    if (!program && call.failable && call.step !== "background" && kinds.has("interrupt"))
      yield { kind: "interrupt", when }
    if (call.step !== "Start" && kinds.has("cancel")) yield { kind: "cancel", when }
    if (kinds.has("terminate")) yield { kind: "terminate", when }
    if (kinds.has("crash")) yield { kind: "crash", when }
    if (kinds.has("power")) {
      yield { kind: "power", when, loss: "all" }
      yield { kind: "power", when, loss: "content" }
    }
  }
}

/**
 * Faults with the same text do the same. A daemon that dies after a call has left the world as one that dies before the
 * next call has, when nothing else has happened in between. A power loss leaves what is on disk and nothing else, and
 * clients that clean up do not go on with what they did.
 */
const sameness = (call: CallRecord, next: CallRecord | undefined, fault: Fault, cleanup: boolean): string => {
  const place = `${call.where} ${call.number}`
  if (fault.kind === "crash" && fault.when === "after" && call.where === "seam") {
    // In the midst of an operation its own next part comes without a call.
    const isWhole = call.failable && next?.where === "seam" && next.failable
    const isSame = isWhole && next.events === call.events + 1 && next.last === call.number
    return isSame ? `crash before seam ${next.number}` : `crash after ${place}`
  }
  if (fault.kind === "crash") return `crash ${fault.when} ${place}`
  if (fault.kind === "power" && fault.when === "before" && cleanup && call.survivors !== undefined) {
    const left = call.survivors[fault.loss === "all" ? "all" : "content"]
    return `power ${call.step === "Start" ? "at the start" : "later"} ${left}`
  }
  return `${place} ${JSON.stringify(fault)}`
}

export const plannedRuns = (records: ReadonlyArray<CallRecord>, options: PlanOptions): ReadonlyArray<PlannedRun> => {
  const kinds = new Set(options.kinds ?? allKinds)
  const runs = new Map<string, { plan: FaultPlan; steps: Array<string>; alike: Array<FaultPlan> }>()
  for (const [index, call] of records.entries()) {
    if (options.steps !== undefined && !options.steps.includes(call.step)) continue
    if (options.only?.(call) === false) continue
    for (const fault of faultsOf(call, kinds, options.when ?? ["before"])) {
      const key = sameness(call, records[index + 1], fault, options.after === "cleanup")
      const known = runs.get(key)
      const plan = { at: call.number, where: call.where, fault }
      if (known === undefined) {
        runs.set(key, { plan, steps: [call.step], alike: [] })
        continue
      }
      known.steps.push(call.step)
      // After a call that fails nothing strikes; before the next it does.
      const later = fault.kind === "crash"
      known.alike.push(later ? known.plan : plan)
      if (later) known.plan = plan
    }
  }
  return [...runs.values()]
}
