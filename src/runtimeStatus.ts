/** What Status reports, put together from the subsystems that know it. */
import { Effect, Layer } from "effect"
import { Cni } from "./cni/Cni.ts"
import { Settings } from "./config/Settings.ts"
import { RuntimeStatus } from "./cri/RuntimeStatus.ts"
import { type RuntimeHandler, RuntimeHandlers } from "./oci/RuntimeHandlers.ts"

export const runtimeStatus = Layer.effect(
  RuntimeStatus,
  Effect.gen(function* () {
    const settings = yield* Settings
    const cni = yield* Cni
    const handlers = yield* (yield* RuntimeHandlers).list

    const toWire = (name: string, { features }: RuntimeHandler) => ({ name, features: { ...features } })
    const [standard] = handlers
    const rows = [
      ...(standard === undefined ? [] : [toWire("", standard)]),
      ...handlers.map((handler) => toWire(handler.name, handler))
    ]
    return RuntimeStatus.of({
      conditions: Effect.map(cni.status, ({ ready, reason, message }) => ({
        RuntimeReady: { ready: true },
        NetworkReady: ready ? { ready: true } : { ready: false, reason, message }
      })),
      handlers: Effect.succeed(rows),
      features: { supplementalGroupsPolicy: true, userNamespacesHostNetwork: true, mountOptions: true },
      info: Effect.succeed({
        config: { sandboxImage: settings.image.pause_image, crio: settings },
        handlers: handlers.map(({ name, kind, path, version, root }) => ({ name, kind, path, version, root }))
      }),
      cgroupDriver: settings.runtime.cgroup_manager
    })
  })
)
