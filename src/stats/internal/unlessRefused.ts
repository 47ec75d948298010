/** One figure that cannot be read must not keep the others from being told. */
import { Effect } from "effect"
import type { CgroupError } from "../../cgroup/CgroupError.ts"
import type { LinuxError } from "../../linux/LinuxError.ts"

export const unlessRefused = <A>(
  what: string,
  read: Effect.Effect<A, LinuxError | CgroupError>
): Effect.Effect<A | undefined> =>
  Effect.catch(read, (error) => Effect.as(Effect.logDebug(`the ${what} is left out: ${error.message}`), undefined))
