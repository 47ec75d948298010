/** RuntimeService.RuntimeConfig: asked once when the kubelet starts, to agree on the cgroup driver. */
import { Effect } from "effect"
import { CgroupDriver, type RuntimeConfigRequest, type RuntimeConfigResponse } from "../../gen/runtime/v1/api.ts"
import { RuntimeStatus } from "../RuntimeStatus.ts"

export const runtimeConfig = Effect.fn("RuntimeService.RuntimeConfig")(function* (_request: RuntimeConfigRequest) {
  const { cgroupDriver } = yield* RuntimeStatus
  return {
    linux: { cgroupDriver: cgroupDriver === "systemd" ? CgroupDriver.SYSTEMD : CgroupDriver.CGROUPFS }
  } satisfies RuntimeConfigResponse
})
