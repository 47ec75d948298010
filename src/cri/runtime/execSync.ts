/** RuntimeService.ExecSync: runs a command in a running container; its exit code is part of the answer. */
import { Effect } from "effect"
import type { ExecSyncRequest, ExecSyncResponse } from "../../gen/runtime/v1/api.ts"
import { execSyncInContainer } from "../../pod/exec.ts"

export const execSync = Effect.fn("RuntimeService.ExecSync")(function* (request: ExecSyncRequest) {
  const { containerId, cmd: command } = request
  const timeout = Math.max(0, Number(request.timeout))
  const { exitCode, stdout, stderr } = yield* execSyncInContainer({ containerId, command, timeout })
  return { exitCode, stdout: Buffer.from(stdout), stderr: Buffer.from(stderr) } satisfies ExecSyncResponse
})
