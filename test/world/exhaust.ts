/** Every fault at every point of a scenario, and the table of what was run. */
import type { CallRecord, FaultPlan, Where } from "./Calls.ts"
import type { Holdings } from "./Leftovers.ts"
import { allKinds, type FaultKind, plannedRuns, type PlannedRun, type PlanOptions } from "./plannedRuns.ts"
import { describePlan, logHash, runScenario, type Scenario } from "./Simulation.ts"

export interface ExhaustOptions<S> extends PlanOptions {
  readonly make: () => Scenario<S>
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
  /** Faults at points. */
  readonly planned: number
  /** Those of which a run has told what comes of them. */
  readonly done: number
  readonly runs: number
  readonly wallMs: number
  /** Points by step, and faults at them by step and kind. */
  readonly points: ReadonlyMap<string, Readonly<Record<Where, number>>>
  readonly doneBy: ReadonlyMap<string, ReadonlyMap<FaultKind, number>>
}

/** What the runs with faults are made from and held against. */
export interface Reference {
  readonly failures: ReadonlyArray<string>
  readonly records: ReadonlyArray<CallRecord>
  readonly held: Holdings
}

/** A run without faults, twice: it must succeed, and its log must be the same each time. */
export const referenceOf = async <S>({
  make,
  seed,
  kinds
}: Pick<ExhaustOptions<S>, "make" | "seed" | "kinds">): Promise<Reference> => {
  const order = seed === undefined ? {} : { seed }
  const result = await runScenario(make, { ...order, watchesDisk: (kinds ?? allKinds).includes("power") })
  const again = await runScenario(make, order)
  const failures = [...result.failures]
  if (logHash(result.log) !== logHash(again.log)) {
    const index = result.log.findIndex((line, at) => line !== again.log[at])
    failures.push(`not deterministic, first at line ${index}:\n  ${result.log[index]}\n  ${again.log[index]}`)
  }
  return { failures, records: result.records, held: result.held }
}

/** What came of some of the plans. */
export type PlanRuns = Pick<Report, "failed" | "runs" | "done" | "doneBy">

/** Runs plans until so many have failed. */
export const runPlans = async <S>(
  { make, seed, after }: Pick<ExhaustOptions<S>, "make" | "seed" | "after">,
  planned: ReadonlyArray<PlannedRun>,
  accepted: Holdings,
  maxFailures: number
): Promise<PlanRuns> => {
  const failed: Array<FailedRun> = []
  const doneBy = new Map<string, Map<FaultKind, number>>()
  let [runs, done] = [0, 0]
  for (const { plan, steps } of planned) {
    const result = await runScenario(make, {
      plan,
      accepted,
      after: after ?? "retry",
      ...(seed === undefined ? {} : { seed })
    })
    runs++
    done += steps.length
    for (const step of steps) count(doneBy, step, plan.fault.kind, 1)
    if (result.failures.length === 0) continue
    failed.push({ plan, title: describePlan(plan, result.struck), failures: result.failures })
    if (failed.length >= maxFailures) break
  }
  return { failed, runs, done, doneBy }
}

const count = (doneBy: Map<string, Map<FaultKind, number>>, step: string, kind: FaultKind, more: number): void => {
  const row = doneBy.get(step) ?? new Map<FaultKind, number>()
  row.set(kind, (row.get(kind) ?? 0) + more)
  doneBy.set(step, row)
}

/** `parts`: none where the run without faults went wrong. */
export const reportOf = (
  reference: Reference,
  runs: ReadonlyArray<PlannedRun>,
  parts: ReadonlyArray<PlanRuns>,
  wallMs: number
): Report => {
  const points = new Map<string, Record<Where, number>>()
  for (const call of reference.records) {
    const row = points.get(call.step) ?? { seam: 0, program: 0, request: 0 }
    row[call.where]++
    points.set(call.step, row)
  }
  const doneBy = new Map<string, Map<FaultKind, number>>()
  for (const [step, row] of parts.flatMap((part) => [...part.doneBy])) {
    for (const [kind, more] of row) count(doneBy, step, kind, more)
  }
  const { failures } = reference
  const unfit = failures.length === 0 ? [] : [{ plan: undefined, title: "the run without faults", failures }]
  return {
    failed: [...unfit, ...parts.flatMap(({ failed }) => failed)],
    planned: runs.reduce((sum, { steps }) => sum + steps.length, 0),
    runs: parts.reduce((sum, { runs }) => sum + runs, 0),
    done: parts.reduce((sum, { done }) => sum + done, 0),
    wallMs,
    points,
    doneBy
  }
}

export const defaultMaxFailures = 20

export const exhaust = async <S>(options: ExhaustOptions<S>): Promise<Report> => {
  const began = performance.now()
  const reference = await referenceOf(options)
  const runs = reference.failures.length > 0 ? [] : plannedRuns(reference.records, options)
  const part = await runPlans(options, runs, reference.held, options.maxFailures ?? defaultMaxFailures)
  return reportOf(reference, runs, [part], performance.now() - began)
}

/** The points and runs by step as a table of text; `replay` makes the command that repeats a failed run. */
export const formatReport = (report: Report, replay: (plan: string) => string = (plan) => plan): string => {
  const kinds = allKinds
  const header = ["step", "request", "seam", "program", ...kinds]
  const rows = [...report.points].map(([step, { request, seam, program }]) => [
    step,
    ...[request, seam, program, ...kinds.map((kind) => report.doneBy.get(step)?.get(kind) ?? 0)].map(String)
  ])
  const perRun = report.runs === 0 ? "" : `, ${(report.wallMs / report.runs).toFixed(1)} ms a run`
  const summary = `${report.done} of ${report.planned} faults in ${report.runs} runs, ${report.failed.length} failed, ${(report.wallMs / 1000).toFixed(1)} s${perRun}`
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
