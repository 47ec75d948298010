/** RuntimeService.ExecSync: runs a command in a running container; its exit code is part of the answer. */
import { Effect } from "effect"
import type { ExecSyncRequest, ExecSyncResponse } from "../../gen/runtime/v1/api.ts"
import { Files } from "../../linux/Files.ts"
import { generateId } from "../../model/Id.ts"
import { decodeProcess } from "../../model/RuntimeSpec.ts"
import { OciRuntime } from "../../oci/OciRuntime.ts"
import { RuntimeHandlers } from "../../oci/RuntimeHandlers.ts"
import { execProcess } from "../../oci/spec/execProcess.ts"
import { orFail } from "../../oci/spec/fault.ts"
import { Jobs } from "../../pod/Jobs.ts"
import { findContainer } from "../../pod/lookup.ts"
import { WrongState } from "../../pod/PodError.ts"
import type { ContainerRecord } from "../../pod/ContainerRecord.ts"

export const execSync = Effect.fn("RuntimeService.ExecSync")(function* (request: ExecSyncRequest) {
  const runtime = yield* OciRuntime
  const handlers = yield* RuntimeHandlers
  const jobs = yield* Jobs
  const container = yield* findContainer(request.containerId)
  const { id, state } = container
  // Also while it is being stopped: probes and hooks run during the grace period.
  if (state._tag !== "Running" && state._tag !== "Stopping") {
    return yield* new WrongState({ object: `container ${id}`, action: "exec in", reason: `it is ${state._tag}` })
  }
  const handler = yield* handlers.get(container.handler)
  const execId = yield* generateId
  const process = yield* execProcessOf(container, request.cmd, execId)
  const { exitCode, stdout, stderr } = yield* runtime
    .execSync(handler, id, { process, execId, timeout: Math.max(0, Number(request.timeout)) })
    .pipe(jobs.waiting(`exec ${JSON.stringify(request.cmd[0])} in container ${id}`))
  return { exitCode, stdout: Buffer.from(stdout), stderr: Buffer.from(stderr) } satisfies ExecSyncResponse
})

/** The container's own process, as its specification has it, with another command. */
const execProcessOf = Effect.fnUntraced(function* (
  { id, bundle }: ContainerRecord,
  command: ReadonlyArray<string>,
  execId: string
) {
  const text = yield* (yield* Files).readText(`${bundle}/config.json`)
  const container = yield* Effect.fromResult(decodeProcess(text)).pipe(
    Effect.mapError(({ message }) => {
      const reason = `its specification ${bundle}/config.json cannot be read: ${message}`
      return new WrongState({ object: `container ${id}`, action: "exec in", reason })
    })
  )
  return yield* orFail(id, execProcess({ container, command, terminal: false, execId }))
})
