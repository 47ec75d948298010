/** A retry gets what its first request made; a different request under the same name must not get it. */
import { Effect, Equal } from "effect"
import type { ContainerRecord } from "./ContainerRecord.ts"
import { NameReserved } from "./PodError.ts"
import type { PodRecord } from "./PodRecord.ts"

/** What of a pod's record its request decides; names that follow from the id are left out. */
const podRequest = (pod: PodRecord) => ({
  labels: pod.labels,
  annotations: pod.annotations,
  hostname: pod.hostname === pod.id.slice(0, 12) ? "" : pod.hostname,
  logDirectory: pod.logDirectory.endsWith(`/${pod.id}`) ? "" : pod.logDirectory,
  runtimeHandler: pod.runtimeHandler,
  cgroupParent: pod.cgroupParent,
  privileged: pod.privileged,
  namespaces: pod.namespaces,
  sysctls: pod.sysctls
})

/** Without limits: they may have been updated since, by kubelet that now asks with the old ones or the new ones. */
const containerRequest = (container: ContainerRecord) => ({
  imageId: container.image.id,
  labels: container.labels,
  annotations: container.annotations,
  logPath: container.logPath,
  mounts: container.mounts,
  terminal: container.terminal,
  stdin: container.stdin,
  stdinOnce: container.stdinOnce,
  privileged: container.privileged
})

const refuse = (name: string, holder: string) =>
  Effect.fail(new NameReserved({ name, holder, reason: "it was made for a different request; remove it first" }))

/** `made` is what the name's job has given, undefined when it has gone since. */
export const samePod = (asked: PodRecord, made: PodRecord | undefined): Effect.Effect<void, NameReserved> =>
  made === undefined || Equal.equals(podRequest(asked), podRequest(made)) ? Effect.void : refuse(asked.name, made.id)

export const sameContainer = (
  asked: ContainerRecord,
  made: ContainerRecord | undefined
): Effect.Effect<void, NameReserved> =>
  made === undefined || Equal.equals(containerRequest(asked), containerRequest(made))
    ? Effect.void
    : refuse(asked.name, made.id)
