/** The pause container: only for a pod whose containers share a PID namespace, which needs a process to live. */
import { Effect } from "effect"
import { containerCgroup, monitorCgroup } from "../cgroup/paths.ts"
import { ImagePuller } from "../image/ImagePuller.ts"
import { Images } from "../image/Images.ts"
import { Files } from "../linux/Files.ts"
import { ContainerSpecs } from "../oci/ContainerSpecs.ts"
import { ContainerStore } from "../store/ContainerStore.ts"
import { launchMonitor } from "./launchMonitor.ts"
import { podDirectory, podNamespaces, type PodPlan, podUserNamespace } from "./podPlan.ts"
import { PodSettings } from "./PodSettings.ts"
import { startProcess } from "./startProcess.ts"
import { layerMetadata } from "./strayLayers.ts"

const pauseImage = Effect.gen(function* () {
  const images = yield* Images
  const puller = yield* ImagePuller
  const { pauseImage } = yield* PodSettings
  return (yield* images.resolve(pauseImage)) ?? (yield* puller.pull({ reference: pauseImage, auth: undefined }))
})

/** Its process, or null for a pod that needs none. */
export const startPause = Effect.fn("startPause")(function* ({ record: pod, config, handler }: PodPlan) {
  if (pod.namespaces.pid !== "pod") return null
  const files = yield* Files
  const specs = yield* ContainerSpecs
  const store = yield* ContainerStore
  const settings = yield* PodSettings
  const image = yield* pauseImage
  const directory = podDirectory(settings.runDirectory, pod.id)
  const bundle = `${directory}/pause`
  const cgroup = yield* Effect.fromResult(containerCgroup(settings.cgroupManager, pod.cgroupParent, pod.id))
  const pins = new Map(podNamespaces(settings.namespacesDirectory, pod).map(({ kind, path }) => [kind, path]))
  const inNamespace = (kind: "net" | "ipc" | "uts") => {
    const path = pins.get(kind)
    return path === undefined ? ("host" as const) : { path }
  }

  const userNamespace = podUserNamespace(settings.namespacesDirectory, pod)
  const metadata = layerMetadata({ "pod-id": pod.id })
  yield* store.create({ id: pod.id, name: pod.name, imageId: image.id, metadata, userNamespace })
  const rootfs = yield* store.mount(pod.id, userNamespace)
  const { spec } = yield* specs.pause({
    id: pod.id,
    command: settings.pauseCommand,
    handler,
    image: image.config.config,
    rootfs,
    cgroupsPath: cgroup.cgroupsPath,
    securityContext: config.linux?.securityContext,
    namespaces: { network: inNamespace("net"), ipc: inNamespace("ipc"), uts: inNamespace("uts"), user: userNamespace },
    sharedMemory: pod.namespaces.ipc === "pod" ? `${directory}/shm` : "/dev/shm"
  })
  yield* files.makeDirectory(bundle, { mode: 0o700 })
  const monitored = { id: pod.id, name: pod.name, bundle, handler, logPath: "", terminal: false, stdin: false }
  const own = monitorCgroup(settings.cgroupManager, cgroup, pod.id, handler.options.monitor_cgroup)
  const init = yield* launchMonitor({ ...monitored, stdinOnce: false, monitorCgroup: own }, spec)
  yield* startProcess(handler, pod.id, init)
  return init
})
