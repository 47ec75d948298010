/** Mounts of the real host, by mount(2) on pool threads: unmounting an overlay syncs its upper file system. */
import { Effect, Semaphore } from "effect"
import type { MappedBind, MountRequest, Mounts, OverlayRequest } from "../Mounts.ts"
import { attempt, codeOf, Refused } from "./attempt.ts"
import { isAtOrBelow, parseMountInfo } from "./mountInfo.ts"
import { makesMount, mountSteps } from "./mountSteps.ts"
import { attachTree, mapTree, openTree } from "./mountTree.ts"
import { close, type Fd, mountAsync, O_DIRECTORY, O_PATH, O_RDONLY, openat2, umount2Async } from "./native.ts"
import { readWhole } from "./readWhole.ts"

const AT_FDCWD = -100
const MNT_DETACH = 2
const UMOUNT_NOFOLLOW = 8
// A slow sync holds its thread of the pool; the others stay free for files and processes.
const concurrentCalls = 2
// The kernel copies one page and cuts what does not fit.
const maxData = 4095
const maxMountInfo = 64 * 1024 * 1024

const mount = async (request: MountRequest): Promise<void> => {
  if (Buffer.byteLength(request.data) > maxData) throw new Refused("E2BIG", `options are longer than ${maxData} bytes`)
  if ([request.source, request.target, request.data].some((text) => text.includes("\0"))) {
    throw new Refused("EINVAL", "has a NUL byte")
  }
  const steps = mountSteps(request)
  if (steps.length === 0) throw new Refused("EINVAL", "asks for nothing")
  for (const [index, step] of steps.entries()) {
    try {
      await mountAsync(request.source, request.target, step.type, step.flags, step.data)
    } catch (error) {
      if (index > 0 && makesMount(request)) await umount2Async(request.target, MNT_DETACH | UMOUNT_NOFOLLOW)
      throw error
    }
  }
}

// Read as separators in an option.
const isPlain = (path: string) => !/[:,\\]/.test(path)

/** Descriptors stand for paths that are too long together: the kernel follows them while it reads the options. */
const mountOverlay = async ({ target, lower, upper, work, flags }: OverlayRequest): Promise<void> => {
  if (lower.length === 0) throw new Refused("EINVAL", "has no lower directory")
  const dataOf = (lowerPaths: ReadonlyArray<string>, [upperPath, workPath]: ReadonlyArray<string | undefined>) =>
    `lowerdir=${lowerPaths.join(":")},upperdir=${upperPath},workdir=${workPath}`
  const request = { source: "overlay", target, type: "overlay", flags }
  const paths = [...lower, upper, work]
  const written = dataOf(lower, [upper, work])
  if (paths.every(isPlain) && Buffer.byteLength(written) <= maxData) return await mount({ ...request, data: written })
  const fds: Array<Fd> = []
  try {
    for (const path of paths) fds.push(openat2(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0))
    const names = fds.map((fd) => `/proc/self/fd/${fd}`)
    await mount({ ...request, data: dataOf(names.slice(0, lower.length), names.slice(lower.length)) })
  } finally {
    fds.forEach(close)
  }
}

/** A mapped mount, attached nowhere; it goes after `use`, unless that attaches it. */
const withMappedTree = async <A>(
  { source, userNamespace }: Omit<MappedBind, "target">,
  use: (tree: Fd, map: () => Promise<void>) => Promise<A>
): Promise<A> => {
  if (source.includes("\0")) throw new Refused("EINVAL", "has a NUL byte")
  const namespace = openat2(AT_FDCWD, userNamespace, O_RDONLY, 0)
  try {
    const tree = await openTree(source)
    try {
      return await use(tree, () => mapTree(tree, namespace))
    } finally {
      close(tree)
    }
  } finally {
    close(namespace)
  }
}

const bindMapped = (request: MappedBind): Promise<void> =>
  withMappedTree(request, async (tree, map) => {
    await map()
    await attachTree(tree, request.target)
  })

const canMap = (request: Omit<MappedBind, "target">): Promise<boolean> =>
  withMappedTree(request, async (_tree, map) => {
    try {
      await map()
      return true
    } catch (error) {
      if (codeOf(error) === "EINVAL") return false
      throw error
    }
  })

const list = async (below: string) => {
  // Latin-1 keeps bytes that are not UTF-8 until the escapes are resolved.
  const text = Buffer.from(await readWhole("/proc/self/mountinfo", maxMountInfo)).toString("latin1")
  const utf8 = (value: string) => Buffer.from(value, "latin1").toString("utf8")
  return parseMountInfo(text)
    .map((entry) => ({
      ...entry,
      root: utf8(entry.root),
      target: utf8(entry.target),
      source: utf8(entry.source),
      superOptions: entry.superOptions.map(utf8)
    }))
    .filter((entry) => isAtOrBelow(entry.target, below))
}

export const makeMounts = (): Mounts["Service"] => {
  const calls = Semaphore.makeUnsafe(concurrentCalls)
  return {
    mount: Effect.fn("Mounts.mount")((request: MountRequest) =>
      calls.withPermit(attempt("mount", `${request.target} from ${request.source}`, () => mount(request)))
    ),
    mountOverlay: Effect.fn("Mounts.mountOverlay")((request: OverlayRequest) =>
      calls.withPermit(attempt("mount overlay", request.target, () => mountOverlay(request)))
    ),
    bindMapped: Effect.fn("Mounts.bindMapped")((request: MappedBind) =>
      calls.withPermit(attempt("bind mapped", `${request.target} from ${request.source}`, () => bindMapped(request)))
    ),
    canMap: Effect.fn("Mounts.canMap")((request: Omit<MappedBind, "target">) =>
      calls.withPermit(attempt("map ids of", request.source, () => canMap(request)))
    ),
    unmount: Effect.fn("Mounts.unmount")((target: string, options?: { readonly detach?: boolean }) => {
      const flags = UMOUNT_NOFOLLOW | (options?.detach === true ? MNT_DETACH : 0)
      return calls.withPermit(attempt("unmount", target, () => umount2Async(target, flags)))
    }),
    list: Effect.fn("Mounts.list")((below: string = "/") => attempt("list", "mounts", () => list(below)))
  }
}
