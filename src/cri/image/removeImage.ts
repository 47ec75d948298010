/** ImageService.RemoveImage: by whichever name, the image goes with all its names; unknown is done already. */
import { Effect } from "effect"
import type { RemoveImageRequest, RemoveImageResponse } from "../../gen/runtime/v1/api.ts"
import { Images } from "../../image/Images.ts"
import { volumeOwner } from "../../pod/imageVolumes.ts"
import { InvalidRequest } from "../../pod/PodError.ts"
import { ContainerStore } from "../../store/ContainerStore.ts"
import { ImageStore } from "../../store/ImageStore.ts"
import { ImageInUse } from "../../store/StoreError.ts"

/** To the store a volume is a container of its own; clients know the one that it was mounted for. */
const asClientsKnow = Effect.fnUntraced(function* ({ imageId, containers: users }: ImageInUse) {
  const stored = new Map((yield* (yield* ContainerStore).list).map(({ id, metadata }) => [id, metadata]))
  const containers = users.map((id) => volumeOwner(stored.get(id) ?? "") ?? id)
  return yield* new ImageInUse({ imageId, containers: [...new Set(containers)] })
})

/** Fails with ImageInUse while a container stands on the image or reads it as a volume: the kubelet's collector comes again. */
export const removeImage = Effect.fn("ImageService.RemoveImage")(function* ({ image }: RemoveImageRequest) {
  const name = image?.image ?? ""
  if (name === "") return yield* new InvalidRequest({ field: "image.image", reason: "no image is named" })
  const found = yield* (yield* Images).resolve(name)
  if (found !== undefined) {
    yield* (yield* ImageStore).remove(found.id).pipe(Effect.catchTag("ImageInUse", asClientsKnow))
  }
  return {} satisfies RemoveImageResponse
})
