/** ImageService.StreamImages: ListImages in several messages. */
import { Image, type StreamImagesRequest } from "../../gen/runtime/v1/api.ts"
import { streamed } from "../streamed.ts"
import { imagesLike } from "./listImages.ts"

export const streamImages = ({ filter }: StreamImagesRequest) => streamed(Image, imagesLike(filter))
