/** Every fault at every point of a scenario, and the table of what was run. */
import { possibleErrors, type CallRecord, type Fault, type FaultPlan, type When } from "./Calls.ts"
import { describePlan, logHash, runScenario, type RunResult, type Scenario } from "./Simulation.ts"

export type FaultKind = Fault["kind"]

export interface ExhaustOptions<S> {
  readonly make: () => Scenario<S>
  /** Default: all. */
  readonly kinds?: ReadonlyArray<FaultKind>
  /**
   * Where crashes and interruptions strike. What comes after one call is before the next in the same fiber, so "before"
   * alone (the default) reaches nearly every state in half the time.
   */
  readonly when?: ReadonlyArray<When>
  readonly after?: "cleanup" | "retry"
  /** Only points of these steps. */
  readonly steps?: ReadonlyArray<string>
  /** This process runs every of-th plan, beginning at index: several share the work. */
  readonly shard?: { readonly index: number; readonly of: number }
  readonly seed?: number
  /** Stops after so many failures. Default 20. */
  readonly maxFailures?: number
  /** Wall-clock milliseconds after which no further run is started; what is left out is told. */
  readonly budgetMs?: number
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
  readonly points: ReadonlyMap<string, { readonly seam: number; readonly program: number }>
  readonly runsBy: ReadonlyMap<string, ReadonlyMap<FaultKind, number>>
}

const allKinds: ReadonlyArray<FaultKind> = [
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
  if (!program && kinds.has("fail")) for (const code of possibleErrors(call)) yield { kind: "fail", code }
  if (program && kinds.has("exit")) yield { kind: "exit" }
  if (program && kinds.has("kill")) yield { kind: "kill" }
  for (const when of program ? (["before"] as const) : whens) {
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

export const plansFor = <S>(
  records: ReadonlyArray<CallRecord>,
  options: ExhaustOptions<S>
): ReadonlyArray<FaultPlan> => {
  const kinds = new Set(options.kinds ?? allKinds)
  const plans: Array<FaultPlan> = []
  for (const call of records) {
    if (options.steps !== undefined && !options.steps.includes(call.step)) continue
    for (const fault of faultsOf(call, kinds, options.when ?? ["before"]))
      plans.push({ at: call.number, where: call.where, fault })
  }
  const { shard } = options
  return shard === undefined ? plans : plans.filter((_, index) => index % shard.of === shard.index)
}

/** A run without faults, twice: it must succeed, and its log must be the same each time. */
const referenceOf = async <S>(
  options: ExhaustOptions<S>
): Promise<{ result: RunResult; failures: ReadonlyArray<string> }> => {
  const seed = options.seed === undefined ? {} : { seed: options.seed }
  const result = await runScenario(options.make, seed)
  const again = await runScenario(options.make, seed)
  const failures = [...result.failures]
  if (logHash(result.log) !== logHash(again.log)) {
    const index = result.log.findIndex((line, at) => line !== again.log[at])
    failures.push(`not deterministic, first at line ${index}:\n  ${result.log[index]}\n  ${again.log[index]}`)
  }
  return { result, failures }
}

export const exhaust = async <S>(options: ExhaustOptions<S>): Promise<Report> => {
  const began = performance.now()
  const { result: reference, failures } = await referenceOf(options)
  const failed: Array<FailedRun> = []
  const runsBy = new Map<string, Map<FaultKind, number>>()
  const points = new Map<string, { seam: number; program: number }>()
  for (const call of reference.records) {
    const row = points.get(call.step) ?? { seam: 0, program: 0 }
    row[call.where]++
    points.set(call.step, row)
  }
  let runs = 0
  const report = (planned: number): Report => ({
    failed,
    planned,
    runs,
    wallMs: performance.now() - began,
    points,
    runsBy
  })
  if (failures.length > 0) {
    failed.push({ plan: undefined, title: "the run without faults", failures })
    return report(0)
  }
  const plans = plansFor(reference.records, options)
  for (const plan of plans) {
    if (options.budgetMs !== undefined && performance.now() - began > options.budgetMs) break
    const result = await runScenario(options.make, {
      plan,
      accepted: reference.held,
      after: options.after ?? "retry",
      ...(options.seed === undefined ? {} : { seed: options.seed })
    })
    runs++
    const step = result.struck?.step ?? "?"
    const row = runsBy.get(step) ?? new Map<FaultKind, number>()
    row.set(plan.fault.kind, (row.get(plan.fault.kind) ?? 0) + 1)
    runsBy.set(step, row)
    if (result.failures.length > 0) {
      failed.push({ plan, title: describePlan(plan, result.struck), failures: result.failures })
      if (failed.length >= (options.maxFailures ?? 20)) break
    }
  }
  return report(plans.length)
}

/** The reports of all shards as one. */
export const mergeReports = (reports: ReadonlyArray<Report>): Report => {
  const runsBy = new Map<string, Map<FaultKind, number>>()
  for (const [step, counts] of reports.flatMap((report) => [...report.runsBy])) {
    const row = runsBy.get(step) ?? new Map<FaultKind, number>()
    for (const [kind, count] of counts) row.set(kind, (row.get(kind) ?? 0) + count)
    runsBy.set(step, row)
  }
  const sum = (count: (report: Report) => number) => reports.reduce((total, report) => total + count(report), 0)
  return {
    failed: reports.flatMap(({ failed }) => failed),
    planned: sum(({ planned }) => planned),
    runs: sum(({ runs }) => runs),
    wallMs: Math.max(...reports.map(({ wallMs }) => wallMs)),
    points: reports[0]?.points ?? new Map(),
    runsBy
  }
}

/** The points and runs by step as a table of text; `replay` makes the command that repeats a failed run. */
export const formatReport = (report: Report, replay: (plan: string) => string = (plan) => plan): string => {
  const kinds = allKinds
  const header = ["step", "seam", "program", ...kinds]
  const rows = [...report.points].map(([step, { seam, program }]) => [
    step,
    String(seam),
    String(program),
    ...kinds.map((kind) => String(report.runsBy.get(step)?.get(kind) ?? 0))
  ])
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => (row[column] ?? "").length)))
  const line = (cells: ReadonlyArray<string>) =>
    cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ")
  const perRun = report.runs === 0 ? "" : `, ${(report.wallMs / report.runs).toFixed(1)} ms a run`
  const summary = `${report.runs} of ${report.planned} runs, ${report.failed.length} failed, ${(report.wallMs / 1000).toFixed(1)} s${perRun}`
  const failures = report.failed.map(
    ({ title, failures, plan }) =>
      `FAILED ${title}\n  ${failures.join("\n  ")}\n  replay: ${replay(JSON.stringify(plan ?? null))}`
  )
  return [line(header), ...rows.map(line), summary, ...failures].join("\n")
}
