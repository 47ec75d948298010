/** The operations that come with the harness. */
import type { Operation } from "./Operation.ts"
import { attachOperations } from "./operations/attach.ts"
import { containerOperations } from "./operations/containers.ts"
import { eventOperations } from "./operations/events.ts"
import { execOperations } from "./operations/exec.ts"
import { imageOperations } from "./operations/images.ts"
import { logOperations } from "./operations/logs.ts"
import { optionalOperations } from "./operations/optional.ts"
import { podOperations } from "./operations/pods.ts"
import { portForwardOperations } from "./operations/portForward.ts"
import { processOperations } from "./operations/processes.ts"
import { pressureOperations } from "./operations/pressure.ts"
import { readOperations } from "./operations/reads.ts"
import { statisticsOperations } from "./operations/statistics.ts"
import { streamEndOperations } from "./operations/streamEnds.ts"
import { streamOperations } from "./operations/streams.ts"

export const allOperations: ReadonlyArray<Operation> = [
  ...podOperations,
  ...containerOperations,
  ...processOperations,
  ...pressureOperations,
  ...execOperations,
  ...streamOperations,
  ...streamEndOperations,
  ...attachOperations,
  ...portForwardOperations,
  ...logOperations,
  ...eventOperations,
  ...imageOperations,
  ...readOperations,
  ...statisticsOperations,
  ...optionalOperations
]

/** Without these nothing else has an object. */
const essential = new Set(["RunPod", "Create", "Start"])

/** Those of the given groups or names, with what they need; all when none is given. */
export const chooseOperations = (
  operations: ReadonlyArray<Operation>,
  only: ReadonlyArray<string>
): ReadonlyArray<Operation> =>
  only.length === 0
    ? operations
    : operations.filter(({ name, group }) => essential.has(name) || only.includes(name) || only.includes(group))

/** Those of which the target has all RPCs. */
export const implementedOperations = (
  operations: ReadonlyArray<Operation>,
  has: (rpc: string) => boolean
): ReadonlyArray<Operation> => operations.filter(({ needs = [] }) => needs.every(has))
