/** What Status reports, put together from the subsystems that know it. */
import { Effect, Layer } from "effect"
import { Cni } from "./cni/Cni.ts"
import { Settings } from "./config/Settings.ts"
import { type Condition, RuntimeStatus } from "./cri/RuntimeStatus.ts"
import { Files } from "./linux/Files.ts"
import { isGone } from "./linux/LinuxError.ts"
import { type RuntimeHandler, RuntimeHandlers } from "./oci/RuntimeHandlers.ts"
import { PodSettings } from "./pod/PodSettings.ts"

interface Trouble {
  /** Of the condition: what is wrong with the program. */
  readonly state: "Missing" | "Unreadable"
  readonly text: string
}

const missing: Trouble = { state: "Missing", text: "is not there" }

/** Looked at each time: programs are taken away and put back by updates of packages. Undefined: it can be run. */
const troubleWith = Effect.fnUntraced(function* (path: string): Effect.fn.Return<Trouble | undefined, never, Files> {
  return yield* (yield* Files).stat(path).pipe(
    Effect.map(({ kind, mode }) => (kind === "file" && (mode & 0o111) !== 0 ? undefined : missing)),
    // What the disk does not say is not missing.
    Effect.catch((error) =>
      Effect.succeed<Trouble>(
        isGone(error) ? missing : { state: "Unreadable", text: `cannot be looked at (${error.message})` }
      )
    )
  )
})

/** Without them no container can be made, and kubelet should not send any. */
const runtimeReady = Effect.fnUntraced(function* (
  handler: RuntimeHandler | undefined
): Effect.fn.Return<Condition, never, Files | PodSettings> {
  const { conmonPath } = yield* PodSettings
  if (handler === undefined) {
    const message = "no runtime handler is configured"
    return { ready: false, reason: "RuntimeMissing", message }
  }
  const runtimeTrouble = yield* troubleWith(handler.path)
  if (runtimeTrouble !== undefined) {
    const { state, text } = runtimeTrouble
    const message = `${handler.path}, the OCI runtime of the default handler ${handler.name}, ${text}`
    return { ready: false, reason: `Runtime${state}`, message }
  }
  const monitor = handler.options.monitor_path === "" ? conmonPath : handler.options.monitor_path
  const monitorTrouble = yield* troubleWith(monitor)
  if (monitorTrouble !== undefined) {
    const { state, text } = monitorTrouble
    const message = `${monitor}, which monitors containers, ${text}; install conmon or set monitor_path`
    return { ready: false, reason: `Monitor${state}`, message }
  }
  return { ready: true }
})

export const runtimeStatus = Layer.effect(
  RuntimeStatus,
  Effect.gen(function* () {
    const settings = yield* Settings
    const cni = yield* Cni
    const host = yield* Effect.context<Files | PodSettings>()
    const handlers = yield* (yield* RuntimeHandlers).list

    const toWire = (name: string, { features }: RuntimeHandler) => ({ name, features: { ...features } })
    const [standard] = handlers
    const rows = [
      ...(standard === undefined ? [] : [toWire("", standard)]),
      ...handlers.map((handler) => toWire(handler.name, handler))
    ]
    return RuntimeStatus.of({
      conditions: Effect.gen(function* () {
        const { ready, reason, message } = yield* cni.status
        const NetworkReady: Condition = ready ? { ready: true } : { ready: false, reason, message }
        return { RuntimeReady: yield* runtimeReady(standard), NetworkReady }
      }).pipe(Effect.provideContext(host)),
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
