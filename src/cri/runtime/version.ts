/** RuntimeService.Version: the first thing that every client asks, answered also while recovery runs. */
import { Effect } from "effect"
import type { VersionRequest, VersionResponse } from "../../gen/runtime/v1/api.ts"

/** Cricket's own version, the one of package.json. */
export const runtimeVersion = "0.1.0"

/** The kubelet refuses a runtime that leaves one of the four empty. `version` is "0.1.0" by custom in every runtime. */
export const version = Effect.fn("RuntimeService.Version")(function* (_request: VersionRequest) {
  return {
    version: "0.1.0",
    runtimeName: "cricket",
    runtimeVersion,
    runtimeApiVersion: "v1"
  } satisfies VersionResponse
})
