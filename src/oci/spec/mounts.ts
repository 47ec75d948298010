/** Mounts of a container: what every one has, what the request adds, in the order in which they have to be made. */
import { Result } from "effect"
import { posix } from "node:path"
import { type Mount as CriMount, MountPropagation } from "../../gen/runtime/v1/api.ts"
import { sameMappings, type UserNamespace } from "../../linux/IdMapping.ts"
import type { Mount } from "../../model/RuntimeSpec.ts"
import { type Fault, invalid, unsupported } from "./fault.ts"
import { userMappings } from "./userNamespace.ts"

export interface BaseMountInput {
  readonly privileged: boolean
  /** The pod's shared memory: bound to /dev/shm. */
  readonly sharedMemory: string
  /** The container cannot mount a sysfs of its own: it gets the host's. */
  readonly foreignSysfs: boolean
  /** Give a read-only root file system room where programs expect to write. */
  readonly writableTmpfs: boolean
}

export const bind = (source: string, destination: string, options: ReadonlyArray<string>): Mount => ({
  destination,
  type: "bind",
  source,
  options: ["rbind", ...options]
})

const tmpfs = (destination: string): Mount => ({
  destination,
  type: "tmpfs",
  source: "tmpfs",
  options: ["rw", "nosuid", "nodev", "mode=1777"]
})

/** The file systems of config-linux.md "Default Filesystems"; /sys and the cgroups read-only unless privileged. */
export const baseMounts = (input: BaseMountInput): ReadonlyArray<Mount> => {
  const access = input.privileged ? "rw" : "ro"
  return [
    { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"]
    },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
    },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"] },
    bind(input.sharedMemory, "/dev/shm", ["rw", "nosuid", "nodev", "noexec"]),
    input.foreignSysfs
      ? bind("/sys", "/sys", ["rprivate", "nosuid", "noexec", "nodev", "ro"])
      : { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", access] },
    {
      destination: "/sys/fs/cgroup",
      type: "cgroup",
      source: "cgroup",
      options: ["nosuid", "noexec", "nodev", "relatime", access]
    },
    ...(input.writableTmpfs ? ["/run", "/tmp", "/var/tmp"].map(tmpfs) : [])
  ]
}

// Files that lxcfs and its like replace, the only ones below /proc that OCI runtimes let anybody cover.
const coverable: ReadonlySet<string> = new Set(
  "cpuinfo diskstats meminfo stat swaps uptime loadavg slabinfo sys/kernel/ns_last_pid sys/crypto/fips_enabled"
    .split(" ")
    .map((name) => `/proc/${name}`)
)

const isAtOrBelow = (path: string, parent: string) => path === parent || path.startsWith(`${parent}/`)

/** Clean absolute destination of a mount that kubelet asks for. /sys is kubelet's to cover, /proc is the kernel's. */
export const requestDestination = (containerPath: string): Result.Result<string, Fault> => {
  const field = "mounts.container_path"
  if (!containerPath.startsWith("/") || containerPath.includes("\0")) {
    return invalid(field, `${JSON.stringify(containerPath)} is not an absolute path`)
  }
  const path = posix.resolve("/", containerPath)
  if (path === "/") return invalid(field, '"/" is the root file system and cannot be mounted over')
  return isAtOrBelow(path, "/proc") && !coverable.has(path)
    ? invalid(field, `${path} lies in /proc, which a mount must not cover`)
    : Result.succeed(path)
}

/** Destination of an image's VOLUME: never what the kernel shows or the runtime makes. */
export const volumeDestination = (volume: string): Result.Result<string, Fault> => {
  const path = posix.resolve("/", volume)
  const refused =
    path === "/" || volume.includes("\0") || ["/proc", "/sys", "/dev"].some((top) => isAtOrBelow(path, top))
  return refused ? invalid("image VOLUME", `${JSON.stringify(volume)} must not be a volume`) : Result.succeed(path)
}

/** CRI Mount.mount_options: those that take something away. */
const plainOptions: ReadonlySet<string> = new Set(["noexec", "nodev", "nosuid"])

const restrictions = (mount: CriMount, destination: string): Result.Result<ReadonlyArray<string>, Fault> => {
  const unknown = mount.mountOptions.find((option) => !plainOptions.has(option))
  return unknown === undefined
    ? Result.succeed(mount.mountOptions)
    : invalid("mounts.mount_options", `${JSON.stringify(unknown)} is not an option for ${destination}`)
}

const propagationOption = (propagation: number): string => {
  switch (propagation) {
    case MountPropagation.PROPAGATION_BIDIRECTIONAL:
      return "rshared"
    case MountPropagation.PROPAGATION_HOST_TO_CONTAINER:
      return "rslave"
    default:
      return "rprivate"
  }
}

/** Its source is what an image holds, not a path of the host. */
export const isImageMount = ({ image }: Pick<CriMount, "image">): boolean => image !== undefined && image.image !== ""

export const isMapped = ({ uidMappings, gidMappings }: Pick<CriMount, "uidMappings" | "gidMappings">): boolean =>
  uidMappings.length > 0 || gidMappings.length > 0

/** A volume whose files belong in the container to whom they belong on disk: mapped as the pod's ids are, or not at all. */
const mapped = (
  mount: CriMount,
  destination: string,
  user: UserNamespace | undefined
): Result.Result<Mapped, Fault> => {
  if (!isMapped(mount)) return Result.succeed({ options: [], mappings: {} })
  const same =
    user !== undefined &&
    sameMappings(mount.uidMappings, user.ids.uids) &&
    sameMappings(mount.gidMappings, user.ids.gids)
  return same
    ? Result.succeed({ options: ["idmap"], mappings: userMappings(user) })
    : invalid("mounts.uid_mappings", `uid_mappings and gid_mappings of ${destination} are not the pod's user namespace`)
}

type Mapped = { readonly options: ReadonlyArray<string>; readonly mappings: ReturnType<typeof userMappings> }

/** A bind mount from CRI's Mount and its source with every link resolved. */
export const requestMount = (
  mount: CriMount,
  source: string,
  features: { readonly recursiveReadOnlyMounts: boolean },
  user?: UserNamespace
): Result.Result<Mount, Fault> =>
  Result.gen(function* () {
    const destination = yield* requestDestination(mount.containerPath)
    if (mount.recursiveReadOnly) {
      const field = "mounts.recursive_read_only"
      if (!mount.readonly) return yield* invalid(field, `mount ${destination} is not readonly`)
      if (mount.propagation !== MountPropagation.PROPAGATION_PRIVATE) {
        return yield* invalid(field, `mount ${destination} needs private propagation`)
      }
      if (!features.recursiveReadOnlyMounts) {
        return yield* unsupported(
          field,
          "RROUnsupported: recursive read-only mounts need Linux 5.12 and an OCI runtime with the rro option"
        )
      }
    }
    const ids = yield* mapped(mount, destination, user)
    const options = [
      mount.recursiveReadOnly ? "rro" : mount.readonly ? "ro" : "rw",
      propagationOption(mount.propagation),
      ...(yield* restrictions(mount, destination)),
      ...ids.options
    ]
    return { ...bind(source, destination, options), ...ids.mappings }
  })

const recursive: ReadonlyMap<string, string> = new Map(
  ["nosuid", "nodev", "noexec"].map((option) => [option, `r${option}`])
)

/** True for a mount that forbids something and is not read-only. */
export const forbidsInWritable = ({ options }: Mount): boolean =>
  options.includes("rw") && options.some((option) => recursive.has(option))

/**
 * The same for all that is mounted below as well. crun 1.8 forgets what a writable bind forbids when it is not the
 * host's root, in a user namespace; the recursive options, which it sets by another call of the kernel, hold.
 */
export const forbiddingRecursively = (mount: Mount): Mount => ({
  ...mount,
  options: mount.options.map((option) => recursive.get(option) ?? option)
})

/** An image's content is for reading: no writes, no devices, no set-user-ID, and nothing that the host mounts below it. */
export const imageMount = (mount: CriMount, source: string): Result.Result<Mount, Fault> =>
  Result.gen(function* () {
    const destination = yield* requestDestination(mount.containerPath)
    const options = new Set(["ro", "rprivate", "nosuid", "nodev", ...(yield* restrictions(mount, destination))])
    return bind(source, destination, [...options])
  })

/** Later mounts replace earlier ones of the same destination; a parent comes before what lies below it. */
export const arrangeMounts = (...lists: ReadonlyArray<ReadonlyArray<Mount>>): ReadonlyArray<Mount> => {
  const byDestination = new Map<string, Mount>()
  for (const mount of lists.flat()) {
    byDestination.delete(mount.destination)
    byDestination.set(mount.destination, mount)
  }
  const depth = ({ destination }: Mount) => destination.split("/").length
  return Array.from(byDestination.values()).sort((left, right) => depth(left) - depth(right))
}

/** Default mounts that kubelet's leave standing: who binds another /dev or /sys gets all that is mounted below it too. */
export const uncoveredDefaults = (
  defaults: ReadonlyArray<Mount>,
  requested: ReadonlyArray<Mount>
): ReadonlyArray<Mount> => {
  const covered = ["/dev", "/sys"].filter((top) => requested.some(({ destination }) => destination === top))
  return defaults.filter(({ destination }) => !covered.some((top) => isAtOrBelow(destination, top)))
}

/** The root has to pass on what its mounts receive or give (mount_namespaces(7)). */
export const rootfsPropagation = (mounts: ReadonlyArray<Mount>): "rslave" | "rshared" | undefined => {
  const uses = (option: string) => mounts.some((mount) => mount.options.includes(option))
  return uses("rshared") ? "rshared" : uses("rslave") ? "rslave" : undefined
}
