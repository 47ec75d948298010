/** RuntimeService.PortForward: a URL at which a client reaches ports of a pod. */
import { Effect } from "effect"
import type { PortForwardRequest, PortForwardResponse } from "../../gen/runtime/v1/api.ts"
import { checkReachable } from "../../pod/dial.ts"
import { InvalidRequest } from "../../pod/PodError.ts"
import { StreamingServer } from "../../streaming/StreamingServer.ts"

const isPort = (port: number) => port >= 1 && port <= 65_535

export const portForward = Effect.fn("RuntimeService.PortForward")(function* (request: PortForwardRequest) {
  const streaming = yield* StreamingServer
  const { podSandboxId, port: ports } = request
  if (podSandboxId === "") return yield* new InvalidRequest({ field: "pod_sandbox_id", reason: "it is missing" })
  const wrong = ports.find((port) => !isPort(port))
  if (wrong !== undefined) return yield* new InvalidRequest({ field: "port", reason: `${wrong} is no TCP port` })
  const { id } = yield* checkReachable(podSandboxId)
  return { url: yield* streaming.urlFor({ _tag: "PortForward", podId: id, ports }) } satisfies PortForwardResponse
})
