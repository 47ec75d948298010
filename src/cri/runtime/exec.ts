/** RuntimeService.Exec: a URL at which a client runs a command in a container with its streams. */
import { Effect } from "effect"
import type { ExecRequest, ExecResponse } from "../../gen/runtime/v1/api.ts"
import { checkRunning } from "../../pod/exec.ts"
import { InvalidRequest } from "../../pod/PodError.ts"
import { StreamingServer } from "../../streaming/StreamingServer.ts"
import { streamShape } from "./streamShape.ts"

export const exec = Effect.fn("RuntimeService.Exec")(function* (request: ExecRequest) {
  const streaming = yield* StreamingServer
  const shape = yield* streamShape(request)
  if (request.cmd.length === 0) return yield* new InvalidRequest({ field: "cmd", reason: "it is empty" })
  const { id } = yield* checkRunning(request.containerId)
  const url = yield* streaming.urlFor({ _tag: "Exec", containerId: id, command: request.cmd, ...shape })
  return { url } satisfies ExecResponse
})
