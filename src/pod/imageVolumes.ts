/**
 * Images as volumes (CRI Mount.image). Each is a layer of its own in the store, mounted read-only: so the image counts as
 * used for everybody who works on the store, and what is taken is given back like a container's root file system.
 */
import { Effect, Option, Schema } from "effect"
import type { Mount } from "../gen/runtime/v1/api.ts"
import { Images } from "../image/Images.ts"
import { Files } from "../linux/Files.ts"
import type { UserNamespace } from "../linux/IdMapping.ts"
import { generateId } from "../model/Id.ts"
import { isImageMount } from "../oci/spec/mounts.ts"
import { ContainerStore } from "../store/ContainerStore.ts"
import type { StoredImage } from "../store/ImageStore.ts"
import type { ContainerPlan } from "./containerPlan.ts"
import { ImageVolumeMountFailed, InvalidRequest } from "./PodError.ts"
import { podUserNamespace } from "./podPlan.ts"
import { PodSettings } from "./PodSettings.ts"
import { layerMetadata } from "./strayLayers.ts"

export interface ImageVolume {
  /** Of its layer in the store. */
  readonly volumeId: string
  readonly containerPath: string
  /** Below the image's root; "" for the root itself. */
  readonly subPath: string
  /** As the request names it. */
  readonly requested: string
  readonly image: StoredImage
}

const planOne = Effect.fnUntraced(function* (mount: Mount) {
  const { containerPath, hostPath, imageSubPath: subPath } = mount
  const requested = mount.image?.image ?? ""
  const fail = (reason: string) => new ImageVolumeMountFailed({ image: requested, containerPath, reason })
  // Who asks for a volume to write into must not learn of it by EROFS inside the container.
  if (!mount.readonly) return yield* fail("readonly is not set, but an image volume can only be read")
  if (hostPath !== "") return yield* fail(`host_path ${JSON.stringify(hostPath)} is given as well`)
  if (subPath.includes("\0") || subPath.split("/").includes("..")) {
    return yield* fail(`image_sub_path ${JSON.stringify(subPath)} leads out of the image`)
  }
  const image = yield* (yield* Images).resolve(requested)
  if (image === undefined) {
    return yield* fail("there is no such image on this node; pull it first (OCI artifacts cannot be mounted)")
  }
  return { volumeId: yield* generateId, containerPath, subPath, requested, image } satisfies ImageVolume
})

/** Nothing is taken yet. The images have to be here: kubelet pulls them before. */
export const planImageVolumes = Effect.fnUntraced(function* (mounts: ReadonlyArray<Mount>) {
  const stray = mounts.find((mount) => mount.imageSubPath !== "" && !isImageMount(mount))
  if (stray !== undefined) {
    const reason = `${JSON.stringify(stray.imageSubPath)} is given for ${stray.containerPath}, which is no image`
    return yield* new InvalidRequest({ field: "config.mounts.image_sub_path", reason })
  }
  return yield* Effect.forEach(mounts.filter(isImageMount), planOne)
})

const Owned = Schema.fromJsonString(Schema.Struct({ "volume-of": Schema.String }))

/** The container that a layer of the store is a volume of, by the metadata that `mountImageVolumes` gives it. */
export const volumeOwner = (metadata: string): string | undefined =>
  Option.getOrUndefined(Schema.decodeOption(Owned)(metadata))?.["volume-of"]

const mountOne = Effect.fnUntraced(function* (
  containerId: string,
  volume: ImageVolume,
  userNamespace: UserNamespace | undefined
) {
  const store = yield* ContainerStore
  const files = yield* Files
  const { volumeId, containerPath, subPath, image } = volume
  yield* store.create({
    id: volumeId,
    userNamespace,
    name: `image-volume-${volumeId}`,
    imageId: image.id,
    metadata: layerMetadata({
      "volume-of": containerId,
      "container-path": containerPath,
      "image-name": volume.requested
    })
  })
  const root = yield* store.mountVolume(volumeId, userNamespace)
  if (subPath === "") return root
  const path = yield* files.resolveInRoot(root, subPath)
  const { kind } = yield* files.lstat(path)
  if (kind === "directory" || kind === "file") return path
  const reason = `image_sub_path ${JSON.stringify(subPath)} is a ${kind}, neither a directory nor a file`
  return yield* new ImageVolumeMountFailed({ image: volume.requested, containerPath, reason })
})

/** Answers where on the host the source of each image mount is, by container_path. */
export const mountImageVolumes = Effect.fn("mountImageVolumes")(function* ({
  record,
  pod,
  imageVolumes
}: ContainerPlan) {
  const sources = new Map<string, string>()
  const userNamespace = podUserNamespace((yield* PodSettings).namespacesDirectory, pod)
  for (const volume of imageVolumes) {
    const { containerPath, requested, subPath } = volume
    const source = yield* mountOne(record.id, volume, userNamespace).pipe(
      Effect.mapError((cause) => {
        if (cause._tag === "ImageVolumeMountFailed") return cause
        const reason =
          cause._tag === "LinuxError" && subPath !== ""
            ? `image_sub_path ${JSON.stringify(subPath)}: ${cause.message}`
            : cause.message
        return new ImageVolumeMountFailed({ image: requested, containerPath, reason, cause })
      })
    )
    sources.set(containerPath, source)
  }
  return sources
})
