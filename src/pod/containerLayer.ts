/** The container's root file system: a writable layer over the image's, mounted. */
import { Effect } from "effect"
import { ContainerStore } from "../store/ContainerStore.ts"
import type { ContainerPlan } from "./containerPlan.ts"
import { podUserNamespace } from "./podPlan.ts"
import { PodSettings } from "./PodSettings.ts"
import { layerMetadata } from "./strayLayers.ts"

/** Answers the path of the mounted root. The metadata is what CRI-O writes, so that its tools and podman's name it. */
export const mountRootfs = Effect.fn("mountRootfs")(function* ({ record, pod, image }: ContainerPlan) {
  const store = yield* ContainerStore
  const userNamespace = podUserNamespace((yield* PodSettings).namespacesDirectory, pod)
  yield* store.create({
    userNamespace,
    id: record.id,
    name: record.name,
    imageId: image.id,
    metadata: layerMetadata({
      "pod-name": pod.name,
      "pod-id": pod.id,
      "image-name": record.image.requested,
      "image-id": image.id,
      "container-name": record.name,
      "metadata-name": record.metadata.name,
      uid: pod.metadata.uid,
      namespace: pod.metadata.namespace,
      attempt: record.metadata.attempt,
      "created-at": Number(record.createdAtNs / 1_000_000_000n)
    })
  })
  return yield* store.mount(record.id, userNamespace)
})
