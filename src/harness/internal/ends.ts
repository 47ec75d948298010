/** Containers whose programs end by themselves. */
import { Effect } from "effect"
import { ContainerState } from "../../gen/runtime/v1/api.ts"
import type { RpcFailure } from "../Cri.ts"
import { type ContainerModel, endsByItself, liveContainers, may } from "../Model.ts"
import type { Site } from "../Operation.ts"
import { eventually } from "./eventually.ts"
import { containerStatusOf } from "./requests.ts"

/** Waits for those that may run, not for ever; whether each has ended. */
export const awaitEnds = Effect.fnUntraced(function* ({
  model,
  target
}: Site): Effect.fn.Return<ReadonlyArray<{ readonly container: ContainerModel; readonly ended: boolean }>, RpcFailure> {
  const ending = liveContainers(model).filter((one) => endsByItself(one.behaviour) && may(one, "running"))
  return yield* Effect.forEach(ending, (container) =>
    eventually(
      target.profile.limits.settle,
      containerStatusOf(target.cri, container.id),
      ({ status }) => status?.state === ContainerState.CONTAINER_EXITED
    ).pipe(Effect.map(({ status }) => ({ container, ended: status?.state === ContainerState.CONTAINER_EXITED })))
  )
})
