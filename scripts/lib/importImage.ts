/** Puts an OCI layout into the store of a daemon that does not run yet, by the daemon's own code. */
import { Effect, Layer } from "effect"
import { Settings } from "../../src/config/Settings.ts"
import { ImageImport } from "../../src/image/ImageImport.ts"
import { PullSettings } from "../../src/image/PullSettings.ts"
import { Files } from "../../src/linux/Files.ts"
import { LayerUnpacker } from "../../src/linux/LayerUnpacker.ts"
import { Locks } from "../../src/linux/Locks.ts"
import { Mounts } from "../../src/linux/Mounts.ts"
import { ImageStore } from "../../src/store/ImageStore.ts"
import { StoreSettings } from "../../src/store/StoreSettings.ts"
import { type BusyboxImage, makeBusyboxImage } from "./busyboxImage.ts"
import type { Place } from "./daemon.ts"

export interface ImportIntoStore {
  readonly graphRoot: string
  readonly runRoot: string
  /** The layout's directory. */
  readonly directory: string
  readonly name: string
}

/** Answers the image's id. */
export const importImage = ({ graphRoot, runRoot, directory, name }: ImportIntoStore): Promise<string> => {
  const seam = Layer.mergeAll(Files.layer, Mounts.layer, Locks.layer, LayerUnpacker.layer)
  const services = ImageImport.layer.pipe(
    Layer.provide(ImageStore.layer),
    Layer.provide(Layer.succeed(StoreSettings, { graphRoot, runRoot })),
    Layer.provide(PullSettings.layer({}, process.arch)),
    Layer.provide(Settings.layerTest()),
    Layer.provide(seam)
  )
  return Effect.gen(function* () {
    const { id } = yield* (yield* ImageImport).importLayout({ directory, name })
    return id
  }).pipe(Effect.provide(services), Effect.runPromise)
}

/** An image of this machine's busybox, for a daemon that does not run yet. Answers its id. */
export const importBusybox = (
  place: Place,
  { name, page = "", platform }: Pick<BusyboxImage, "name" | "platform"> & { readonly page?: string }
) => {
  const directory = `${place.directory}/layout`
  makeBusyboxImage({ directory, page, name, ...(platform !== undefined && { platform }) })
  return importImage({ graphRoot: place.root, runRoot: place.runroot, directory, name })
}
