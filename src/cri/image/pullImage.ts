/** ImageService.PullImage: waits for the shared pull; a client that goes away ends it only where nobody else waits. */
import { Effect } from "effect"
import type { PullImageRequest, PullImageResponse } from "../../gen/runtime/v1/api.ts"
import { isUnreadable } from "../../image/Credentials.ts"
import { ImagePuller } from "../../image/ImagePuller.ts"
import { Jobs } from "../../pod/Jobs.ts"
import { InvalidRequest } from "../../pod/PodError.ts"

export const pullImage = Effect.fn("ImageService.PullImage")(function* ({
  image,
  auth,
  sandboxConfig
}: PullImageRequest) {
  const reference = image?.image ?? ""
  if (reference === "") return yield* new InvalidRequest({ field: "image.image", reason: "no image is named" })
  if (auth !== undefined && isUnreadable(auth)) {
    return yield* new InvalidRequest({
      field: "auth.auth",
      reason: "is not the base64 of a user name, a colon and a password"
    })
  }
  const puller = yield* ImagePuller
  const jobs = yield* Jobs
  const { id } = yield* puller
    .pull({ reference, auth, namespace: sandboxConfig?.metadata?.namespace ?? "" })
    .pipe(jobs.waiting(`pull ${reference}`))
  return { imageRef: id } satisfies PullImageResponse
})
