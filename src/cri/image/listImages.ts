/** ImageService.ListImages: the snapshot. The kubelet asks often, so the whole list is encoded once per change. */
import { Buffer } from "node:buffer"
import { Effect } from "effect"
import { type ListImagesRequest, ListImagesResponse } from "../../gen/runtime/v1/api.ts"
import { Images } from "../../image/Images.ts"
import { Encoded } from "../adapter.ts"
import { toImage } from "./imageWire.ts"

/** By the list itself: a changed store has another one. */
const encodedLists = new WeakMap<object, Encoded>()

export const listImages = Effect.fn("ImageService.ListImages")(function* ({ filter }: ListImagesRequest) {
  const images = yield* Images
  const name = filter?.image?.image ?? ""
  if (name !== "") {
    const found = yield* images.resolve(name)
    return { images: found === undefined ? [] : [toImage(images)(found)] } satisfies ListImagesResponse
  }
  const list = yield* images.list
  const known = encodedLists.get(list)
  if (known !== undefined) return known
  const response = ListImagesResponse.encode({ images: list.map(toImage(images)) }).finish()
  const encoded = new Encoded(Buffer.from(response))
  encodedLists.set(list, encoded)
  return encoded
})
