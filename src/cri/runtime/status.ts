/** RuntimeService.Status: readiness, handlers and features; the kubelet asks every few seconds. */
import { Effect } from "effect"
import type { RuntimeCondition, StatusRequest, StatusResponse } from "../../gen/runtime/v1/api.ts"
import { type Condition, RuntimeStatus } from "../RuntimeStatus.ts"

const toWire = (type: string, condition: Condition): RuntimeCondition =>
  condition.ready
    ? { type, status: true, reason: "", message: "" }
    : { type, status: false, reason: condition.reason, message: condition.message }

export const status = Effect.fn("RuntimeService.Status")(function* (request: StatusRequest) {
  const runtime = yield* RuntimeStatus
  const { RuntimeReady, NetworkReady } = yield* runtime.conditions
  const info = request.verbose ? yield* runtime.info : {}
  return {
    status: { conditions: [toWire("RuntimeReady", RuntimeReady), toWire("NetworkReady", NetworkReady)] },
    info: Object.fromEntries(Object.entries(info).map(([topic, value]) => [topic, JSON.stringify(value)])),
    runtimeHandlers: [...(yield* runtime.handlers)],
    features: runtime.features
  } satisfies StatusResponse
})
