/** Where things lie below the two roots (containers/storage, overlay driver). */
import { createHash } from "node:crypto"
import { posix } from "node:path"

export interface StorePaths {
  readonly graphRoot: string
  readonly overlay: string
  /** Short names of layers, which keep mount options small. */
  readonly links: string
  readonly layersDirectory: string
  readonly imagesDirectory: string
  readonly containersDirectory: string
  /**
   * Ours: layers on their way in and out of the store. Below `overlay/`, which podman turns into a mount of its own:
   * a rename from outside would then cross mounts. Other programs pass over names that are no layer ids.
   */
  readonly staging: string
  /**
   * Ours: where `overlay/` shows itself with mapped ids while an overlay is mounted with layers from there. A short name:
   * it is in the mount's options once for each layer.
   */
  readonly mapped: string
  readonly runLayersDirectory: string
  readonly runContainersDirectory: string
}

export const storePaths = (graphRoot: string, runRoot: string): StorePaths => ({
  graphRoot,
  overlay: posix.join(graphRoot, "overlay"),
  links: posix.join(graphRoot, "overlay", "l"),
  layersDirectory: posix.join(graphRoot, "overlay-layers"),
  imagesDirectory: posix.join(graphRoot, "overlay-images"),
  containersDirectory: posix.join(graphRoot, "overlay-containers"),
  staging: posix.join(graphRoot, "overlay", "cricket-staging"),
  mapped: posix.join(graphRoot, "overlay", "idmap"),
  runLayersDirectory: posix.join(runRoot, "overlay-layers"),
  runContainersDirectory: posix.join(runRoot, "overlay-containers")
})

/** tar-split data of a staged layer wait in the directory where they will stay, for the same reason. */
export const stagedTarSplitPath = (paths: StorePaths, staged: string): string =>
  posix.join(paths.layersDirectory, `${stagedPrefix(posix.dirname(staged))}${posix.basename(staged)}`)

/** How the names begin that the owner of a part of the staging area uses in `overlay-layers/`. */
export const stagedPrefix = (part: string): string => `.cricket-${posix.basename(part)}-`

export const isStagedFile = (name: string): boolean => /^\.cricket-[0-9a-f]{32}-/.test(name)

/** A file in a layer's directory that says: Cricket made this layer or was about to remove it. */
export const MARKER = ".cricket"

export const layerDirectory = (paths: StorePaths, id: string): string => posix.join(paths.overlay, id)
export const tarSplitPath = (paths: StorePaths, id: string): string =>
  posix.join(paths.layersDirectory, `${id}.tar-split.gz`)

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex")

/** An image layer's id: its diffID's hex, with its parent's id mixed in above the base (the rule of containers/image). */
export const imageLayerId = (parent: string | undefined, diffId: string): string => {
  const hex = diffId.slice("sha256:".length)
  return parent === undefined ? hex : sha256(`${parent}+${hex}`)
}

/** A container's layer is known from its id alone, so a removal finds it also where no record names it. */
export const containerLayerId = (containerId: string): string => sha256(`cricket container layer ${containerId}`)

/** File name of an image's data item: the item's name where that is plain, else "=" and its base64. */
export const bigDataFile = (paths: StorePaths, imageId: string, item: string): string =>
  posix.join(
    paths.imagesDirectory,
    imageId,
    /^[a-zA-Z0-9._-]+$/.test(item) ? item : `=${Buffer.from(item).toString("base64")}`
  )
