/**
 * RuntimeService.UpdateRuntimeConfig: the kubelet tells the node's pod CIDR once it knows it. CNI plugins take their
 * ranges from their own configuration, so the address range is only made visible in the log.
 */
import { Effect } from "effect"
import type { UpdateRuntimeConfigRequest, UpdateRuntimeConfigResponse } from "../../gen/runtime/v1/api.ts"

export const updateRuntimeConfig = Effect.fn("RuntimeService.UpdateRuntimeConfig")(function* (
  request: UpdateRuntimeConfigRequest
) {
  const podCidr = request.runtimeConfig?.networkConfig?.podCidr ?? ""
  if (podCidr !== "") yield* Effect.logInfo(`the node's pod CIDR is ${podCidr}`)
  return {} satisfies UpdateRuntimeConfigResponse
})
