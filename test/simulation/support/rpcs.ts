/** The RPCs that are built, the names of the walks' steps, and the points of each RPC in a table. */
import { handlers } from "../../../src/cri/handlers.ts"
import { formatTable, type Report } from "../../world/exhaust.ts"
import { allKinds, type FaultKind } from "../../world/plannedRuns.ts"
import type { Where } from "../../world/Calls.ts"

export type Rpc = keyof typeof handlers.runtime | keyof typeof handlers.image

/** A step is named after its RPC. Where an RPC has several, each other one says what is different about it. */
export type StepName = Rpc | `${Rpc}: ${string}`

export const builtRpcs: ReadonlyArray<string> = [...Object.keys(handlers.runtime), ...Object.keys(handlers.image)]

/** What a row is of: an RPC, or what the daemon does by itself ("Start", "background") and the programs. */
export const rpcOf = (step: string): string => step.split(":")[0] as string

/** Points of one RPC, and the faults at them. */
export interface RpcRow {
  readonly points: Readonly<Record<Where, number>>
  readonly faults: ReadonlyMap<FaultKind, number>
}

/**
 * All reports together, by RPC. Reports of one walk share its points; those of different walks (another handler, a user
 * namespace) have points of their own only for the steps at which they let faults strike.
 */
export const rowsOf = (reports: ReadonlyArray<{ readonly walk: string; readonly report: Report }>) => {
  const rows = new Map<string, { points: Record<Where, number>; faults: Map<FaultKind, number> }>()
  const rowOf = (step: string) => {
    const row = rows.get(rpcOf(step)) ?? { points: { request: 0, seam: 0, program: 0 }, faults: new Map() }
    rows.set(rpcOf(step), row)
    return row
  }
  const counted = new Set<string>()
  for (const { walk, report } of reports) {
    for (const [step, found] of report.points) {
      if (counted.has(`${walk} ${step}`) || !report.doneBy.has(step)) continue
      counted.add(`${walk} ${step}`)
      const { points } = rowOf(step)
      for (const where of ["request", "seam", "program"] as const) points[where] += found[where]
    }
    for (const [step, kinds] of report.doneBy) {
      const { faults } = rowOf(step)
      for (const [kind, more] of kinds) faults.set(kind, (faults.get(kind) ?? 0) + more)
    }
  }
  return rows as ReadonlyMap<string, RpcRow>
}

/** "calls": through the seam while the RPC is served. An RPC without any is met at its request and at its answer. */
export const formatRows = (rows: ReadonlyMap<string, RpcRow>): string => {
  const header = ["RPC", "requests", "calls", "of programs", ...allKinds, "all"]
  const lines = [...rows].map(([rpc, { points, faults }]) => {
    const byKind = allKinds.map((kind) => faults.get(kind) ?? 0)
    const all = byKind.reduce((sum, more) => sum + more, 0)
    return [rpc, ...[points.request, points.seam, points.program, ...byKind, all].map(String)]
  })
  return formatTable([header, ...lines])
}
