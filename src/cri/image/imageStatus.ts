/** ImageService.ImageStatus: an unknown image is no error, its `image` stays unset. */
import { Effect } from "effect"
import type { ImageStatusRequest, ImageStatusResponse } from "../../gen/runtime/v1/api.ts"
import { Images } from "../../image/Images.ts"
import { InvalidRequest } from "../../pod/PodError.ts"
import { toImage } from "./imageWire.ts"

export const imageStatus = Effect.fn("ImageService.ImageStatus")(function* ({ image, verbose }: ImageStatusRequest) {
  const name = image?.image ?? ""
  if (name === "") return yield* new InvalidRequest({ field: "image.image", reason: "no image is named" })
  const images = yield* Images
  const found = yield* images.resolve(name)
  if (found === undefined) return { image: undefined, info: {} } satisfies ImageStatusResponse
  // The spelling of CRI-O and containerd, which crictl and scripts read.
  const info = { labels: found.config.config.Labels, imageSpec: found.config }
  return {
    image: toImage(images)(found),
    info: verbose ? { info: JSON.stringify(info) } : {}
  } satisfies ImageStatusResponse
})
