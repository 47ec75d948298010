/** A stored image as CRI's Image message. */
import type { Image } from "../../gen/runtime/v1/api.ts"
import { type Images, repoDigests, repoTags, runAs } from "../../image/Images.ts"
import type { StoredImage } from "../../store/ImageStore.ts"

/** `id` is the configuration's digest without "sha256:", as CRI-O writes it; PullImage and containers answer the same. */
export const toImage =
  (images: Images["Service"]) =>
  (image: StoredImage): Image => {
    const { uid, username } = runAs(image)
    return {
      id: image.id,
      repoTags: [...repoTags(image)],
      repoDigests: [...repoDigests(image)],
      // The kubelet takes an image of size 0 for a broken one.
      size: BigInt(Math.max(image.size, 1)),
      uid: uid === undefined ? undefined : { value: BigInt(uid) },
      username: username ?? "",
      spec: undefined,
      pinned: images.isPinned(image)
    }
  }
