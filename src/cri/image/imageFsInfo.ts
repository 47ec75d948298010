/** ImageService.ImageFsInfo: the kubelet reads the first entry of each list; one file system holds layers of both kinds. */
import { Clock, Effect } from "effect"
import type { ImageFsInfoRequest, ImageFsInfoResponse } from "../../gen/runtime/v1/api.ts"
import { ImageStore } from "../../store/ImageStore.ts"

export const imageFsInfo = Effect.fn("ImageService.ImageFsInfo")(function* (_request: ImageFsInfoRequest) {
  const { mountpoint, usedBytes, usedInodes } = yield* (yield* ImageStore).usage
  const usage = {
    timestamp: yield* Clock.currentTimeNanos,
    fsId: { mountpoint },
    usedBytes: { value: usedBytes },
    inodesUsed: { value: usedInodes }
  }
  return { imageFilesystems: [usage], containerFilesystems: [usage] } satisfies ImageFsInfoResponse
})
