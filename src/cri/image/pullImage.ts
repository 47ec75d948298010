/** ImageService.PullImage: waits for the shared pull; a client that goes away ends it only where nobody else waits. */
import { Effect } from "effect"
import type { PullImageRequest, PullImageResponse } from "../../gen/runtime/v1/api.ts"
import { ImagePuller } from "../../image/ImagePuller.ts"
import { InvalidRequest } from "../../pod/PodError.ts"

export const pullImage = Effect.fn("ImageService.PullImage")(function* ({ image, auth }: PullImageRequest) {
  const reference = image?.image ?? ""
  if (reference === "") return yield* new InvalidRequest({ field: "image.image", reason: "no image is named" })
  const { id } = yield* (yield* ImagePuller).pull({ reference, auth })
  return { imageRef: id } satisfies PullImageResponse
})
