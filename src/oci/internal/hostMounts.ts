/** Sources of a container's mounts: found on the host, made where kubelet expects that, checked for propagation. */
import { Effect, Result } from "effect"
import { createHash } from "node:crypto"
import { posix } from "node:path"
import { type Mount as CriMount, MountPropagation } from "../../gen/runtime/v1/api.ts"
import { Files } from "../../linux/Files.ts"
import { toHost, type UserNamespace } from "../../linux/IdMapping.ts"
import type { MountEntry } from "../../linux/Mounts.ts"
import { Mounts } from "../../linux/Mounts.ts"
import { makeSearchable } from "../../linux/searchable.ts"
import type { Mount } from "../../model/RuntimeSpec.ts"
import { SpecHostError } from "../OciError.ts"
import type { RuntimeHandler } from "../RuntimeHandlers.ts"
import { invalid, orFail, unsupported } from "../spec/fault.ts"
import {
  bind,
  forbiddingRecursively,
  forbidsInWritable,
  imageMount,
  isImageMount,
  isMapped,
  requestDestination,
  requestMount,
  volumeDestination
} from "../spec/mounts.ts"

export interface MountSettings {
  /** Put before every source. */
  readonly bind_mount_prefix: string
  readonly absent_mount_sources_to_reject: ReadonlyArray<string>
  readonly image_volumes: "mkdir" | "bind" | "ignore"
}

/** Links of the source are followed to the end: what is mounted is the target. A missing source becomes a directory. */
const resolveSource = Effect.fnUntraced(function* (containerId: string, hostPath: string, settings: MountSettings) {
  const files = yield* Files
  const field = "mounts.host_path"
  if (!posix.isAbsolute(hostPath) || hostPath.includes("\0")) {
    return yield* orFail(containerId, invalid(field, `${JSON.stringify(hostPath)} is not an absolute path`))
  }
  const path = settings.bind_mount_prefix === "" ? hostPath : posix.join(settings.bind_mount_prefix, hostPath)
  const fail = (cause: unknown) => new SpecHostError({ containerId, field, path, cause })
  const found = yield* Effect.result(files.realPath(path))
  if (Result.isSuccess(found)) return found.success
  if (found.failure.code !== "ENOENT") return yield* fail(found.failure)
  if (settings.absent_mount_sources_to_reject.includes(posix.resolve("/", hostPath))) {
    return yield* orFail(
      containerId,
      invalid(field, `${hostPath} does not exist, and absent_mount_sources_to_reject lists it`)
    )
  }
  yield* Effect.mapError(files.makeDirectory(path, { mode: 0o755, recursive: true }), fail)
  return yield* Effect.mapError(files.realPath(path), fail)
})

const contains = (parent: string, path: string) => parent === "/" || path === parent || path.startsWith(`${parent}/`)

/** The mount that holds a path: the longest target above it, of equal ones the last, which covers the others. */
const mountOf = (mounts: ReadonlyArray<MountEntry>, path: string): MountEntry | undefined =>
  mounts.reduce<MountEntry | undefined>(
    (best, entry) =>
      contains(entry.target, path) && (best === undefined || entry.target.length >= best.target.length) ? entry : best,
    undefined
  )

const checkPropagation = (mount: CriMount, source: string, mounts: ReadonlyArray<MountEntry>) => {
  const holder = mountOf(mounts, source)
  const shared = holder?.propagation.some((tag) => tag.startsWith("shared:")) ?? false
  const slave = holder?.propagation.some((tag) => tag.startsWith("master:")) ?? false
  const field = "mounts.propagation"
  const on = `${mount.hostPath} lies on the mount ${holder?.target ?? "/"}, which is`
  if (mount.propagation === MountPropagation.PROPAGATION_BIDIRECTIONAL && !shared) {
    return invalid(field, `${on} not shared: bidirectional propagation needs "mount --make-rshared"`)
  }
  if (mount.propagation === MountPropagation.PROPAGATION_HOST_TO_CONTAINER && !shared && !slave) {
    return invalid(field, `${on} neither shared nor slave: mounts of the host would not reach the container`)
  }
  return Result.succeed(undefined)
}

export interface RequestedMounts {
  readonly containerId: string
  readonly mounts: ReadonlyArray<CriMount>
  readonly handler: Pick<RuntimeHandler, "kind" | "features">
  /** Where the images of image mounts are mounted on the host, by container_path. */
  readonly imageSources: ReadonlyMap<string, string>
  /** The pod's. */
  readonly user: UserNamespace | undefined
}

/** Asked before the runtime tries: it would name neither the mount nor the reason. */
const checkMappable = Effect.fnUntraced(function* (mount: CriMount, source: string, request: RequestedMounts) {
  const { containerId, user } = request
  if (user === undefined || !isMapped(mount)) return
  const fail = (cause: unknown) => new SpecHostError({ containerId, field: "mounts.uid_mappings", path: source, cause })
  const mounts = yield* Mounts
  if (yield* Effect.mapError(mounts.canMap({ source, userNamespace: user.path }), fail)) return
  const reason = `the file system of ${mount.hostPath} has no idmapped mounts: it cannot be a volume of a pod with a user namespace`
  return yield* orFail(containerId, unsupported("mounts.uid_mappings", reason))
})

/** Nothing is mounted below a file, and crun 1.8 takes recursive options for directories only. */
const readOnlyFile = Effect.fnUntraced(function* (made: Mount, { containerId }: RequestedMounts) {
  if (!made.options.includes("rro")) return made
  const files = yield* Files
  const fail = (cause: unknown) =>
    new SpecHostError({ containerId, field: "mounts.recursive_read_only", path: made.source, cause })
  const { kind } = yield* Effect.mapError(files.stat(made.source), fail)
  if (kind === "directory") return made
  return { ...made, options: made.options.map((option) => (option === "rro" ? "ro" : option)) }
})

/** Options that the runtime is known to enforce, or none of the mount at all. */
const enforceable = Effect.fnUntraced(function* (made: Mount, { containerId, handler, user }: RequestedMounts) {
  if (user === undefined || handler.kind !== "crun" || !forbidsInWritable(made)) return made
  const files = yield* Files
  const field = "mounts.mount_options"
  const fail = (cause: unknown) => new SpecHostError({ containerId, field, path: made.source, cause })
  const { kind } = yield* Effect.mapError(files.stat(made.source), fail)
  if (kind === "directory") return forbiddingRecursively(made)
  const reason = `crun enforces no options of ${made.destination}, a single file that is writable, in a user namespace: mount it read-only, or its directory`
  return yield* orFail(containerId, unsupported(field, reason))
})

const sourceOf = Effect.fnUntraced(function* (mount: CriMount, request: RequestedMounts, settings: MountSettings) {
  if (!isImageMount(mount)) return yield* resolveSource(request.containerId, mount.hostPath, settings)
  const source = request.imageSources.get(mount.containerPath)
  if (source !== undefined) return source
  const reason = `ImageVolumeMountFailed: image ${mount.image?.image} is not mounted for ${mount.containerPath}`
  return yield* orFail(request.containerId, unsupported("mounts.image", reason))
})

export const resolveRequestedMounts = Effect.fnUntraced(function* (request: RequestedMounts, settings: MountSettings) {
  const mounts = yield* Mounts
  const propagating = request.mounts.some(
    (mount) => !isImageMount(mount) && mount.propagation !== MountPropagation.PROPAGATION_PRIVATE
  )
  const table = propagating
    ? yield* Effect.mapError(
        mounts.list(),
        (cause) => new SpecHostError({ containerId: request.containerId, field: "mounts", path: "mountinfo", cause })
      )
    : []
  return yield* Effect.forEach(
    request.mounts,
    Effect.fnUntraced(function* (mount) {
      // Before anything is made on the host for it.
      yield* orFail(request.containerId, requestDestination(mount.containerPath))
      const source = yield* sourceOf(mount, request, settings)
      if (isImageMount(mount)) return yield* orFail(request.containerId, imageMount(mount, source))
      yield* orFail(request.containerId, checkPropagation(mount, source, table))
      const made = yield* orFail(
        request.containerId,
        requestMount(mount, source, request.handler.features, request.user)
      )
      yield* checkMappable(mount, source, request)
      return yield* enforceable(yield* readOnlyFile(made, request), request)
    })
  )
})

export interface ImageVolumes {
  readonly containerId: string
  readonly rootfs: string
  readonly volumes: ReadonlyArray<string>
  /** Destinations that kubelet's mounts take. */
  readonly taken: ReadonlySet<string>
  /** Where anonymous volumes are kept; removed with the container. */
  readonly directory: string
  /** The pod's: its root owns the volumes. */
  readonly user: UserNamespace | undefined
}

const rootOf = (user: UserNamespace | undefined) => ({
  uid: (user && toHost(user.ids.uids, 0)) ?? 0,
  gid: (user && toHost(user.ids.gids, 0)) ?? 0
})

const makeVolume = Effect.fnUntraced(function* (source: string, user: UserNamespace | undefined) {
  const files = yield* Files
  yield* files.makeDirectory(source, { mode: 0o755, recursive: true })
  if (user === undefined) return
  const { uid, gid } = rootOf(user)
  yield* files.chown(source, uid, gid)
  yield* makeSearchable(files, posix.dirname(source))
})

/** A VOLUME becomes a directory of the root file system or an anonymous volume, as `image_volumes` says. */
export const resolveImageVolumes = Effect.fnUntraced(function* (input: ImageVolumes, settings: MountSettings) {
  if (settings.image_volumes === "ignore") return []
  const files = yield* Files
  const made: Array<Mount> = []
  for (const volume of input.volumes) {
    const destination = yield* orFail(input.containerId, volumeDestination(volume))
    if (input.taken.has(destination)) continue
    const fail = (cause: unknown) =>
      new SpecHostError({ containerId: input.containerId, field: "image VOLUME", path: destination, cause })
    if (settings.image_volumes === "mkdir") {
      const owned = { mode: 0o755, ...rootOf(input.user) }
      yield* Effect.mapError(files.makeDirectoryInRoot(input.rootfs, destination, owned), fail)
    } else {
      const source = posix.join(input.directory, createHash("sha256").update(destination).digest("hex"))
      yield* Effect.mapError(makeVolume(source, input.user), fail)
      made.push(bind(source, destination, ["rw", "rprivate", "nodev"]))
    }
  }
  return made
})
