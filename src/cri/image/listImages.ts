/** ImageService.ListImages: the snapshot. The kubelet asks often, so the whole list is encoded once per change. */
import { Buffer } from "node:buffer"
import { Effect } from "effect"
import { type ImageFilter, type ListImagesRequest, ListImagesResponse } from "../../gen/runtime/v1/api.ts"
import { Images } from "../../image/Images.ts"
import { Encoded } from "../adapter.ts"
import { toImage } from "./imageWire.ts"

/** By the list itself: a changed store has another one. */
const encodedLists = new WeakMap<object, Encoded>()

/** One image by any of its names or its id, or all of them (CRI ImageFilter). */
export const imagesLike = Effect.fnUntraced(function* (filter: ImageFilter | undefined) {
  const images = yield* Images
  const name = filter?.image?.image ?? ""
  const found = name === "" ? yield* images.list : [yield* images.resolve(name)].filter((one) => one !== undefined)
  return found.map(toImage(images))
})

export const listImages = Effect.fn("ImageService.ListImages")(function* ({ filter }: ListImagesRequest) {
  if ((filter?.image?.image ?? "") !== "") {
    return { images: yield* imagesLike(filter) } satisfies ListImagesResponse
  }
  const images = yield* Images
  const list = yield* images.list
  const known = encodedLists.get(list)
  if (known !== undefined) return known
  const response = ListImagesResponse.encode({ images: list.map(toImage(images)) }).finish()
  const encoded = new Encoded(Buffer.from(response))
  encodedLists.set(list, encoded)
  return encoded
})
