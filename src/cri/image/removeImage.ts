/** ImageService.RemoveImage: by whichever name, the image goes with all its names; unknown is done already. */
import { Effect } from "effect"
import type { RemoveImageRequest, RemoveImageResponse } from "../../gen/runtime/v1/api.ts"
import { Images } from "../../image/Images.ts"
import { ImageStore } from "../../store/ImageStore.ts"
import { InvalidRequest } from "../../pod/PodError.ts"

/** Fails with ImageInUse while a container stands on the image: the kubelet's collector comes again. */
export const removeImage = Effect.fn("ImageService.RemoveImage")(function* ({ image }: RemoveImageRequest) {
  const name = image?.image ?? ""
  if (name === "") return yield* new InvalidRequest({ field: "image.image", reason: "no image is named" })
  const found = yield* (yield* Images).resolve(name)
  if (found !== undefined) yield* (yield* ImageStore).remove(found.id)
  return {} satisfies RemoveImageResponse
})
