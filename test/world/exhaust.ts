/** Every fault at every point of a scenario, and the table of what was run. */
import { possibleErrors, type CallRecord, type Fault, type FaultPlan, type When, type Where } from "./Calls.ts"
import type { Holdings } from "./Leftovers.ts"
import { describePlan, logHash, runScenario, type Scenario } from "./Simulation.ts"

export type FaultKind = Fault["kind"]

export interface ExhaustOptions<S> {
  readonly make: () => Scenario<S>
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
  readonly seed?: number
  /** Stops after about so many failures. Default 20. */
  readonly maxFailures?: number
}

export interface FailedRun {
  readonly plan: FaultPlan | undefined
  readonly title: string
  readonly failures: ReadonlyArray<string>
}

export interface Report {
  readonly failed: ReadonlyArray<FailedRun>
  readonly planned: number
  readonly runs: number
  readonly wallMs: number
  /** Points by step, and runs by step and kind. */
  readonly points: ReadonlyMap<string, Readonly<Record<Where, number>>>
  readonly runsBy: ReadonlyMap<string, ReadonlyMap<FaultKind, number>>
}

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

export const plansFor = (
  records: ReadonlyArray<CallRecord>,
  options: Pick<ExhaustOptions<never>, "kinds" | "steps" | "when">
): ReadonlyArray<FaultPlan> => {
  const kinds = new Set(options.kinds ?? allKinds)
  const plans: Array<FaultPlan> = []
  for (const call of records) {
    if (options.steps !== undefined && !options.steps.includes(call.step)) continue
    for (const fault of faultsOf(call, kinds, options.when ?? ["before"]))
      plans.push({ at: call.number, where: call.where, fault })
  }
  return plans
}

/** What the runs with faults are made from and held against. */
export interface Reference {
  readonly failures: ReadonlyArray<string>
  readonly records: ReadonlyArray<CallRecord>
  readonly held: Holdings
}

/** A run without faults, twice: it must succeed, and its log must be the same each time. */
export const referenceOf = async <S>({ make, seed }: Pick<ExhaustOptions<S>, "make" | "seed">): Promise<Reference> => {
  const order = seed === undefined ? {} : { seed }
  const result = await runScenario(make, order)
  const again = await runScenario(make, order)
  const failures = [...result.failures]
  if (logHash(result.log) !== logHash(again.log)) {
    const index = result.log.findIndex((line, at) => line !== again.log[at])
    failures.push(`not deterministic, first at line ${index}:\n  ${result.log[index]}\n  ${again.log[index]}`)
  }
  return { failures, records: result.records, held: result.held }
}

/** What came of some of the plans. */
export type PlanRuns = Pick<Report, "failed" | "runs" | "runsBy">

/** Runs plans until so many have failed. */
export const runPlans = async <S>(
  { make, seed, after }: Pick<ExhaustOptions<S>, "make" | "seed" | "after">,
  plans: ReadonlyArray<FaultPlan>,
  accepted: Holdings,
  maxFailures: number
): Promise<PlanRuns> => {
  const failed: Array<FailedRun> = []
  const runsBy = new Map<string, Map<FaultKind, number>>()
  let runs = 0
  for (const plan of plans) {
    const result = await runScenario(make, {
      plan,
      accepted,
      after: after ?? "retry",
      ...(seed === undefined ? {} : { seed })
    })
    runs++
    count(runsBy, result.struck?.step ?? "?", plan.fault.kind, 1)
    if (result.failures.length === 0) continue
    failed.push({ plan, title: describePlan(plan, result.struck), failures: result.failures })
    if (failed.length >= maxFailures) break
  }
  return { failed, runs, runsBy }
}

const count = (runsBy: Map<string, Map<FaultKind, number>>, step: string, kind: FaultKind, more: number): void => {
  const row = runsBy.get(step) ?? new Map<FaultKind, number>()
  row.set(kind, (row.get(kind) ?? 0) + more)
  runsBy.set(step, row)
}

/** `parts`: none where the run without faults went wrong. */
export const reportOf = (
  reference: Reference,
  planned: number,
  parts: ReadonlyArray<PlanRuns>,
  wallMs: number
): Report => {
  const points = new Map<string, Record<Where, number>>()
  for (const call of reference.records) {
    const row = points.get(call.step) ?? { seam: 0, program: 0, request: 0 }
    row[call.where]++
    points.set(call.step, row)
  }
  const runsBy = new Map<string, Map<FaultKind, number>>()
  for (const [step, row] of parts.flatMap((part) => [...part.runsBy])) {
    for (const [kind, runs] of row) count(runsBy, step, kind, runs)
  }
  const { failures } = reference
  const unfit = failures.length === 0 ? [] : [{ plan: undefined, title: "the run without faults", failures }]
  return {
    failed: [...unfit, ...parts.flatMap(({ failed }) => failed)],
    planned,
    runs: parts.reduce((sum, { runs }) => sum + runs, 0),
    wallMs,
    points,
    runsBy
  }
}

export const defaultMaxFailures = 20

export const exhaust = async <S>(options: ExhaustOptions<S>): Promise<Report> => {
  const began = performance.now()
  const reference = await referenceOf(options)
  const plans = reference.failures.length > 0 ? [] : plansFor(reference.records, options)
  const part = await runPlans(options, plans, reference.held, options.maxFailures ?? defaultMaxFailures)
  return reportOf(reference, plans.length, [part], performance.now() - began)
}

/** The points and runs by step as a table of text; `replay` makes the command that repeats a failed run. */
export const formatReport = (report: Report, replay: (plan: string) => string = (plan) => plan): string => {
  const kinds = allKinds
  const header = ["step", "request", "seam", "program", ...kinds]
  const rows = [...report.points].map(([step, { request, seam, program }]) => [
    step,
    ...[request, seam, program, ...kinds.map((kind) => report.runsBy.get(step)?.get(kind) ?? 0)].map(String)
  ])
  const perRun = report.runs === 0 ? "" : `, ${(report.wallMs / report.runs).toFixed(1)} ms a run`
  const summary = `${report.runs} of ${report.planned} runs, ${report.failed.length} failed, ${(report.wallMs / 1000).toFixed(1)} s${perRun}`
  const failures = report.failed.map(
    ({ title, failures, plan }) =>
      `FAILED ${title}\n  ${failures.join("\n  ")}\n  replay: ${replay(JSON.stringify(plan ?? null))}`
  )
  return [formatTable([header, ...rows]), summary, ...failures].join("\n")
}

/** Columns as wide as they have to be. */
export const formatTable = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)))
  const line = (cells: ReadonlyArray<string>) =>
    cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ")
  return rows.map((row) => line(row).trimEnd()).join("\n")
}
