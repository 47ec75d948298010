/**
 * Paths of an image or a container, resolved below its root by the kernel: links, ".." and absolute targets never lead
 * out (openat2(2) RESOLVE_IN_ROOT), magic links are refused.
 */
import { fchmodSync, fchownSync, fstatSync, readlinkSync } from "node:fs"
import { posix } from "node:path"
import { Refused } from "./attempt.ts"
import {
  close,
  type Fd,
  mkdirat,
  NativeError,
  O_DIRECTORY,
  O_PATH,
  O_RDONLY,
  openat2,
  RESOLVE_BENEATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS
} from "./native.ts"
import { readWhole } from "./readWhole.ts"

const AT_FDCWD = -100
const inRoot = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS

const withFd = <A>(fd: Fd, use: (fd: Fd) => A): A => {
  try {
    return use(fd)
  } finally {
    close(fd)
  }
}

const openRoot = (root: string): Fd => openat2(AT_FDCWD, root, O_PATH | O_DIRECTORY, 0)

/** The bytes of a regular file below `root`. */
export const readInRoot = async (root: string, path: string, maxBytes: number): Promise<Uint8Array> => {
  // O_PATH first: opening a device node of an image for real could already act (a watchdog, a tape).
  const found = withFd(openRoot(root), (rootFd) => openat2(rootFd, path, O_PATH, inRoot))
  try {
    const stat = fstatSync(found)
    if (stat.isDirectory()) throw new Refused("EISDIR", "is a directory")
    if (!stat.isFile()) throw new Refused("EINVAL", "is a special file")
    return await readWhole(`/proc/self/fd/${found}`, maxBytes)
  } finally {
    close(found)
  }
}

/** The path by which the daemon reaches what `path` is below `root`. */
export const resolveInRoot = (root: string, path: string): string =>
  withFd(openRoot(root), (rootFd) =>
    withFd(openat2(rootFd, path, O_PATH, inRoot), (found) => readlinkSync(`/proc/self/fd/${found}`))
  )

export interface DirectoryOwner {
  readonly mode: number
  readonly uid: number
  readonly gid: number
}

const isError = (error: unknown, code: string) => error instanceof NativeError && error.code === code
// As many links as the kernel follows in one path.
const maxLinks = 40

const make = (rootFd: Fd, path: string, owner: DirectoryOwner, linksLeft: number): void => {
  const components = path.split("/").filter((component) => component !== "" && component !== ".")
  for (let length = 1; length <= components.length; length++) {
    const prefix = components.slice(0, length).join("/")
    try {
      close(openat2(rootFd, prefix, O_PATH | O_DIRECTORY, inRoot))
    } catch (error) {
      if (!isError(error, "ENOENT")) throw error
      makeOne(rootFd, components.slice(0, length - 1).join("/"), components[length - 1]!, owner, linksLeft)
    }
  }
}

const makeOne = (rootFd: Fd, parent: string, name: string, owner: DirectoryOwner, linksLeft: number): void =>
  withFd(openat2(rootFd, parent === "" ? "." : parent, O_RDONLY | O_DIRECTORY, inRoot), (parentFd) => {
    try {
      mkdirat(parentFd, name, 0o700)
    } catch (error) {
      if (!isError(error, "EEXIST")) throw error
      // Something is there, yet it leads nowhere: a dangling link. Its target is what the image asks for.
      if (linksLeft === 0) throw new Refused("ELOOP", "too many links")
      const target = readlinkSync(`/proc/self/fd/${parentFd}/${name}`)
      return make(rootFd, posix.isAbsolute(target) ? target : `${parent}/${target}`, owner, linksLeft - 1)
    }
    const below = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
    withFd(openat2(parentFd, name, O_RDONLY | O_DIRECTORY, below), (made) => {
      fchownSync(made, owner.uid, owner.gid)
      fchmodSync(made, owner.mode)
    })
  })

/** mkdir -p below `root`; only what it makes gets the owner and the mode. */
export const makeDirectoryInRoot = (root: string, path: string, owner: DirectoryOwner): void =>
  withFd(openRoot(root), (rootFd) => make(rootFd, path, owner, maxLinks))
