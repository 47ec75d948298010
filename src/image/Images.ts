/** The images that are here, by every spelling that people and kubelet use. Reads the store's snapshot: no I/O. */
import { Context, Effect, Layer, Result } from "effect"
import { parseDigest } from "../model/Digest.ts"
import { parseImageUser } from "../model/ImageUser.ts"
import { ImageStore, type ImageSnapshot, type StoredImage } from "../store/ImageStore.ts"
import { matchesPattern } from "./internal/imagePattern.ts"
import { PullSettings } from "./PullSettings.ts"
import { formatReference, isShortName, nameOf, parseReference, pinned, type Reference } from "./Reference.ts"
import { RegistriesConf } from "./RegistriesConf.ts"

/** Shorter prefixes of an id are taken for names, as CRI-O does. */
const shortestIdPrefix = 3

const byId = (snapshot: ImageSnapshot, text: string): StoredImage | undefined => {
  const hex = text.startsWith("sha256:") ? text.slice("sha256:".length) : text
  if (!/^[0-9a-f]{3,64}$/.test(hex) || hex.length < shortestIdPrefix) return undefined
  const exact = snapshot.byId.get(hex)
  if (exact !== undefined || hex.length === 64) return exact
  const matches = snapshot.images.filter(({ id }) => id.startsWith(hex))
  return matches.length === 1 ? matches[0] : undefined
}

/** References among an image's names; other tools may have written names that are none. */
const references = (image: StoredImage): ReadonlyArray<Reference> =>
  image.names.flatMap((name) => {
    const parsed = parseReference(name)
    return Result.isSuccess(parsed) ? [parsed.success] : []
  })

const byReference = (snapshot: ImageSnapshot, reference: Reference): StoredImage | undefined => {
  const asked = pinned(reference)
  const named = snapshot.byName.get(formatReference(asked))
  if (named !== undefined || asked.digest === undefined) return named
  // A digest of an image that was pulled by tag: the repository has to be the same, else the digest proves nothing.
  return snapshot.images.find(
    (image) =>
      image.manifestDigest === asked.digest && references(image).some((known) => nameOf(known) === nameOf(asked))
  )
}

/** "docker.io/library/busybox:latest" for every name with a tag. */
export const repoTags = (image: StoredImage): ReadonlyArray<string> =>
  references(image)
    .filter(({ tag }) => tag !== undefined)
    .map(formatReference)

/** "docker.io/library/busybox@sha256:…": digests the image was pulled by, and its manifest's for every repository. */
export const repoDigests = (image: StoredImage): ReadonlyArray<string> => {
  const manifestDigest = Result.getOrUndefined(parseDigest(image.manifestDigest))
  const found = references(image).flatMap((reference) => {
    const digests = [reference.digest, manifestDigest].filter((digest) => digest !== undefined)
    return digests.map((digest) => `${nameOf(reference)}@${digest}`)
  })
  return [...new Set(found)]
}

/** Among an image's names that which the text asks for. A short name is of whichever registry it was pulled from. */
const askedAmong = (known: ReadonlyArray<Reference>, text: string): Reference | undefined => {
  const parsed = parseReference(text)
  if (Result.isFailure(parsed)) return undefined
  const asked = pinned(parsed.success)
  const alike = known.filter(({ tag, digest }) => tag === asked.tag && digest === asked.digest)
  const end = `/${asked.path.replace(/^library\//, "")}`
  return (
    alike.find((reference) => nameOf(reference) === nameOf(asked)) ??
    (isShortName(text) ? alike.find((reference) => nameOf(reference).endsWith(end)) : undefined)
  )
}

/**
 * How people know an image that was asked for by this text: the name that they wrote, in full, if it has that one; else
 * its first tag, and of its digests the same repository's. Undefined for what it has none of.
 */
export const knownAs = (
  image: StoredImage,
  text: string
): { readonly name: string | undefined; readonly digest: string | undefined } => {
  const known = references(image)
  const reference = askedAmong(known, text) ?? known.find(({ tag }) => tag !== undefined) ?? known[0]
  const digests = repoDigests(image)
  if (reference === undefined) return { name: undefined, digest: digests[0] }
  const ofRepository = digests.find((digest) => digest.startsWith(`${nameOf(reference)}@`))
  return { name: formatReference(reference), digest: ofRepository ?? digests[0] }
}

/** A pattern, and where it is a reference also the name under which a pull of it is stored. */
const spellings = (pattern: string): ReadonlyArray<string> => {
  if (pattern === "") return []
  const reference = parseReference(pattern)
  return Result.isSuccess(reference) ? [pattern, formatReference(pinned(reference.success))] : [pattern]
}

/** CRI's `uid` and `username`: at most one. An invalid USER gives neither, so that nobody takes it for a user who exists. */
export const runAs = (image: StoredImage): { readonly uid?: number; readonly username?: string } => {
  const parsed = parseImageUser(image.config.config.User)
  if (Result.isFailure(parsed) || parsed.success.user === undefined) return {}
  const { user } = parsed.success
  return user._tag === "Id" ? { uid: user.id } : { username: user.name }
}

export class Images extends Context.Service<
  Images,
  {
    readonly list: Effect.Effect<ReadonlyArray<StoredImage>>
    /** By id ("sha256:" may precede), unique prefix of an id, name, name without tag, or digest. */
    readonly resolve: (text: string) => Effect.Effect<StoredImage | undefined>
    /** True for images that kubelet must not collect: `pinned_images` and the pause image. */
    readonly isPinned: (image: StoredImage) => boolean
  }
>()("cricket/image/Images") {
  static readonly layer = Layer.effect(
    Images,
    Effect.gen(function* () {
      const store = yield* ImageStore
      const registries = yield* RegistriesConf
      const { pinnedImages, pauseImage } = yield* PullSettings
      const patterns = [...pinnedImages, pauseImage].flatMap(spellings)

      const resolve = Effect.fn("Images.resolve")(function* (text: string) {
        const snapshot = yield* store.snapshot
        const found = byId(snapshot, text)
        if (found !== undefined) return found
        const meant = yield* registries.candidates(text).pipe(Effect.orElseSucceed(() => []))
        for (const reference of meant) {
          const image = byReference(snapshot, reference)
          if (image !== undefined) return image
        }
        return undefined
      })

      return Images.of({
        list: Effect.map(store.snapshot, ({ images }) => images),
        resolve,
        isPinned: (image) =>
          [...repoTags(image), ...repoDigests(image)].some((name) =>
            patterns.some((pattern) => matchesPattern(pattern, name))
          )
      })
    })
  )
}
