/**
 * What CRI-O tells over HTTP on the CRI socket. kubelet's cAdvisor takes a node whose socket ends in crio.sock for one of
 * CRI-O's, and asks here where the store lies and what each container is: without these answers the node has no
 * statistics of pods, unless kubelet takes them from the CRI (its gate PodAndContainerStatsFromCRI).
 */
import { Effect, Option } from "effect"
import { Settings } from "../config/Settings.ts"
import type { ContainerRecord } from "../pod/ContainerRecord.ts"
import { findContainer, findPod } from "../pod/lookup.ts"
import type { PodRecord } from "../pod/PodRecord.ts"
import { Pods } from "../pod/Pods.ts"
import { ContainerStore } from "../store/ContainerStore.ts"
import { type HttpReply, jsonReply } from "./http.ts"

/** The host's own ids: the daemon maps none but those of pods with a user namespace. */
const hostIds = [{ container_id: 0, host_id: 0, size: 4_294_967_295 }]

/** GET /info: the store and the driver of cgroups. */
export const inspectDaemon = Effect.gen(function* () {
  const { crio, runtime } = yield* Settings
  return jsonReply({
    storage_driver: crio.storage_driver === "" ? "overlay" : crio.storage_driver,
    storage_root: crio.root,
    storage_image: crio.imagestore,
    cgroup_driver: runtime.cgroup_manager,
    default_id_mappings: { uids: hostIds, gids: hostIds }
  })
})

/** Where its root file system is mounted; cAdvisor looks beside it for what the container has written. */
const rootOf = Effect.fnUntraced(function* (id: string) {
  const { crio } = yield* Settings
  const stored = (yield* (yield* ContainerStore).list).find((one) => one.id === id)
  return stored === undefined ? "" : `${crio.root}/overlay/${stored.layerId}/merged`
})

const notFound = (id: string): HttpReply => ({
  status: 404,
  contentType: "text/plain; charset=utf-8",
  body: `can't find the container with id ${id}\n`
})

const toReply = Effect.fnUntraced(function* (container: ContainerRecord, pod: PodRecord | undefined) {
  return jsonReply({
    name: container.name,
    pid: "pid" in container.state ? container.state.pid : 0,
    image: container.image.name ?? container.image.requested,
    image_ref: container.image.ref,
    // Nanoseconds, as exactly as JSON's readers take numbers.
    created_time: Number(container.createdAtNs),
    labels: container.labels,
    annotations: container.annotations,
    crio_annotations: {},
    log_path: container.logPath,
    root: yield* rootOf(container.id),
    sandbox: container.podId,
    ip_addresses: pod?.ips ?? [],
    host_network: pod?.namespaces.network === "node"
  })
})

/** The pause container, which has its pod's id. By its label kubelet knows whose network statistics are the pod's. */
const pauseReply = Effect.fnUntraced(function* (pod: PodRecord, pid: number) {
  const { image } = yield* Settings
  return jsonReply({
    name: pod.name,
    pid,
    image: image.pause_image,
    image_ref: "",
    created_time: Number(pod.createdAtNs),
    labels: { ...pod.labels, "io.kubernetes.container.name": "POD" },
    annotations: pod.annotations,
    crio_annotations: {},
    log_path: "",
    root: yield* rootOf(pod.id),
    sandbox: pod.id,
    ip_addresses: pod.ips,
    host_network: pod.namespaces.network === "node"
  })
})

/** GET /containers/<id>, or the beginning of an id. */
export const inspectContainer = Effect.fn("inspectContainer")(function* (id: string) {
  const { pods } = yield* (yield* Pods).snapshot
  const container = yield* Effect.option(findContainer(id))
  if (Option.isSome(container)) return yield* toReply(container.value, pods.get(container.value.podId))
  const pod = yield* Effect.option(findPod(id))
  return Option.isSome(pod) && pod.value.pause !== null
    ? yield* pauseReply(pod.value, pod.value.pause.pid)
    : notFound(id)
})
