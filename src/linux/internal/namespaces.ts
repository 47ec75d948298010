/** Namespaces of the real host. */
import { Effect } from "effect"
import { closeSync, openSync, statfsSync, unlinkSync } from "node:fs"
import type { Namespaces, PinRequest } from "../Namespaces.ts"
import { attemptSync, codeOf } from "./attempt.ts"
import { ioctl, O_NOFOLLOW, O_RDONLY, umount2 } from "./native.ts"
import { networkCounters } from "./networkCounters.ts"
import { cloneFlags, MNT_DETACH, pin, UMOUNT_NOFOLLOW } from "./pin.ts"

const NSFS_MAGIC = 0x6e736673
const NS_GET_NSTYPE = 0xb703

const isGone = (error: unknown) => ["ENOENT", "ENOTDIR"].includes(codeOf(error) ?? "")

/** Unmounts whatever is stacked there: a daemon that died between two attempts may have pinned twice. */
const unmountAll = (path: string): void => {
  try {
    for (;;) umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW)
  } catch (error) {
    // EINVAL: no mount point any more.
    if (codeOf(error) !== "EINVAL" && !isGone(error)) throw error
  }
}

const unpin = (path: string): void => {
  unmountAll(path)
  try {
    unlinkSync(path)
  } catch (error) {
    if (!isGone(error)) throw error
  }
}

const isPinned = (path: string): boolean => {
  try {
    // Asked first: opening anything but a namespace could act or block.
    if (statfsSync(path).type !== NSFS_MAGIC) return false
    const fd = openSync(path, O_RDONLY | O_NOFOLLOW)
    try {
      return Object.values(cloneFlags).includes(ioctl(fd, NS_GET_NSTYPE, null))
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    // A link may lead to a namespace; it is not one.
    if (isGone(error) || codeOf(error) === "ELOOP") return false
    throw error
  }
}

const subjectOf = (paths: ReadonlyArray<string>) => (paths.length === 0 ? "nothing" : paths.join(", "))

export const makeNamespaces = (): Namespaces["Service"] => ({
  pin: Effect.fn("Namespaces.pin")((request: PinRequest) =>
    attemptSync("pin", subjectOf(request.namespaces.map(({ path }) => path)), () => pin(request))
  ),
  unpin: Effect.fn("Namespaces.unpin")((path: string) => attemptSync("unpin", path, () => unpin(path))),
  isPinned: Effect.fn("Namespaces.isPinned")((path: string) => attemptSync("check", path, () => isPinned(path))),
  networkCounters: Effect.fn("Namespaces.networkCounters")((path: string) =>
    attemptSync("count", path, () => networkCounters(path))
  )
})
