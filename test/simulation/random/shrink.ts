/** Makes a failing plan smaller while it still fails: fewer bursts, fewer commands, fewer faults, no cancellations. */
import type { Burst, Plan } from "./commands.ts"

const without = <A>(list: ReadonlyArray<A>, index: number): ReadonlyArray<A> => list.filter((_, at) => at !== index)

/** The end first: what comes after the failure goes at once. */
function* smaller(plan: Plan): Generator<Plan> {
  const { bursts, faults } = plan
  for (let size = bursts.length >> 1; size >= 1; size >>= 1) {
    for (let at = bursts.length - size; at >= 0; at -= size) {
      yield { ...plan, bursts: [...bursts.slice(0, at), ...bursts.slice(at + size)] }
    }
  }
  for (const index of faults.keys()) yield { ...plan, faults: without(faults, index) }
  for (const [index, burst] of bursts.entries()) {
    const put = (next: Burst): Plan => ({ ...plan, bursts: bursts.map((other, at) => (at === index ? next : other)) })
    for (const command of burst.commands.keys()) yield put({ ...burst, commands: without(burst.commands, command) })
    for (const [at, command] of burst.commands.entries()) {
      if (command.cancelMs === undefined) continue
      const { cancelMs: _, ...patient } = command
      yield put({ ...burst, commands: burst.commands.map((other, place) => (place === at ? patient : other)) })
    }
  }
}

/** `attempts` bounds the runs. Commands may move to other times: what is kept is that it fails, not how. */
export const shrink = async (plan: Plan, fails: (plan: Plan) => Promise<boolean>, attempts: number): Promise<Plan> => {
  let best: Plan = { ...plan, enough: Number.MAX_SAFE_INTEGER }
  // Commands beyond those that were sent are dropped by the first steps; the plan must fail as it stands, though.
  if (!(await fails(best))) best = plan
  let left = attempts
  for (let progress = true; progress && left > 0;) {
    progress = false
    for (const candidate of smaller(best)) {
      if (left-- <= 0) break
      if (!(await fails(candidate))) continue
      best = candidate
      progress = true
      break
    }
  }
  return best
}
