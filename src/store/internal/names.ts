/** Names of images. Pure. */
import { changeRecord, imageCodec, type ImageRecord } from "./records.ts"

/** Names belong to one image: the others lose them, `imageId` gets those that it has not. */
export const withNames = (
  images: ReadonlyArray<ImageRecord>,
  imageId: string,
  names: ReadonlyArray<string>
): ReadonlyArray<ImageRecord> =>
  images.map((image) => {
    const kept = image.names.filter((name) => !names.includes(name))
    if (image.id !== imageId) {
      return kept.length === image.names.length ? image : changeRecord(imageCodec, image, { names: kept })
    }
    const history = image.raw["names-history"]
    const before = Array.isArray(history) ? history.filter((name) => !names.includes(name)) : []
    return changeRecord(imageCodec, image, { names: [...names, ...kept], "names-history": [...names, ...before] })
  })
