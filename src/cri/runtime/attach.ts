/** RuntimeService.Attach: a URL at which a client gets the streams of a container's first process. */
import { Effect } from "effect"
import type { AttachRequest, AttachResponse } from "../../gen/runtime/v1/api.ts"
import { checkAttachable } from "../../pod/attach.ts"
import { InvalidRequest } from "../../pod/PodError.ts"
import { StreamingServer } from "../../streaming/StreamingServer.ts"
import { streamShape } from "./streamShape.ts"

export const attach = Effect.fn("RuntimeService.Attach")(function* (request: AttachRequest) {
  const streaming = yield* StreamingServer
  const shape = yield* streamShape(request)
  const { id, terminal } = yield* checkAttachable(request.containerId)
  if (shape.terminal && !terminal) {
    return yield* new InvalidRequest({ field: "tty", reason: `container ${id} was made without a terminal` })
  }
  return { url: yield* streaming.urlFor({ _tag: "Attach", containerId: id, ...shape }) } satisfies AttachResponse
})
