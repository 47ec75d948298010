/** The pod's namespaces: made and pinned by the daemon, so that no process has to hold them open. */
import { Effect } from "effect"
import { Files } from "../linux/Files.ts"
import { Namespaces } from "../linux/Namespaces.ts"
import { podNamespaces, type PodPlan } from "./podPlan.ts"
import { PodSettings } from "./PodSettings.ts"

/** Pins what the pod has of its own, with its host name and the sysctls that belong to these namespaces. */
export const pinNamespaces = Effect.fn("pinNamespaces")(function* ({ record: pod, sysctls }: PodPlan) {
  const files = yield* Files
  const namespaces = yield* Namespaces
  const { namespacesDirectory } = yield* PodSettings
  const pins = podNamespaces(namespacesDirectory, pod)
  if (pins.length === 0) return
  for (const { path } of pins) {
    yield* files.makeDirectory(path.slice(0, path.lastIndexOf("/")), { mode: 0o755, recursive: true })
    yield* Effect.scoped(files.open(path, "create", 0o444))
  }
  yield* namespaces.pin({
    namespaces: pins,
    ...(pins.some(({ kind }) => kind === "uts") ? { hostname: pod.hostname } : {}),
    ...(pod.namespaces.user === null ? {} : { mappings: pod.namespaces.user }),
    sysctls
  })
})
