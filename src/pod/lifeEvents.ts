/** Which events of the CRI a change of state is. What was never listed has none. */
import type { ContainerState } from "./ContainerState.ts"
import type { EventKind } from "./Events.ts"
import type { PodState } from "./PodState.ts"

const none: ReadonlyArray<EventKind> = []

/** A pod appears when it is ready, so its creation and its start are one moment. */
export const podEvents = (before: PodState, after: PodState): ReadonlyArray<EventKind> => {
  if (before._tag === after._tag) return none
  if (after._tag === "Ready") return ["Created", "Started"]
  return after._tag === "NotReady" ? ["Stopped"] : none
}

/** The start of what is known to have ended is no event any more: it would come after its end. */
export const containerEvents = (before: ContainerState, after: ContainerState): ReadonlyArray<EventKind> => {
  if (before._tag === after._tag) return none
  switch (after._tag) {
    case "Created":
      return ["Created"]
    case "Running":
      return ["Started"]
    case "Exited":
      return ["Stopped"]
    default:
      return none
  }
}
