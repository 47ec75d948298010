/** Mounts of the daemon's mount namespace. */
import { Context, type Effect, Layer } from "effect"
import { makeMounts } from "./internal/mounts.ts"
import type { LinuxError } from "./LinuxError.ts"

export type MountFlag =
  | "ro"
  | "nosuid"
  | "nodev"
  | "noexec"
  | "bind"
  | "rec"
  | "remount"
  | "private"
  | "slave"
  | "shared"
  | "unbindable"

export interface MountRequest {
  readonly source: string
  readonly target: string
  /** File system type; "" for bind mounts and propagation changes. */
  readonly type: string
  readonly flags: ReadonlyArray<MountFlag>
  /** File system options ("lowerdir=…"); under one page. */
  readonly data: string
}

/** Directories of an overlay (Documentation/filesystems/overlayfs.rst). */
export interface OverlayRequest {
  readonly target: string
  /** At least one, topmost first. */
  readonly lower: ReadonlyArray<string>
  readonly upper: string
  /** On the file system of `upper`. */
  readonly work: string
  readonly flags: ReadonlyArray<"ro" | "nosuid" | "nodev" | "noexec">
}

/** A bind whose ids are mapped: what the namespace calls 0 is shown for what belongs to 0 on disk. */
export interface MappedBind {
  readonly source: string
  readonly target: string
  /** Path of a pinned user namespace. */
  readonly userNamespace: string
}

/** A line of /proc/self/mountinfo (proc(5)). */
export interface MountEntry {
  readonly id: number
  readonly parent: number
  readonly root: string
  readonly target: string
  readonly options: ReadonlyArray<string>
  /** "shared:N", "master:N", "propagate_from:N", "unbindable". */
  readonly propagation: ReadonlyArray<string>
  readonly type: string
  readonly source: string
  readonly superOptions: ReadonlyArray<string>
}

export class Mounts extends Context.Service<
  Mounts,
  {
    /**
     * Makes or changes one mount. Unlike mount(2), a bind takes attributes ("ro") and propagation in the same request;
     * attributes of a recursive bind hold for its top mount only. On failure nothing stays mounted. E2BIG: `data` is
     * longer than the kernel takes.
     */
    readonly mount: (request: MountRequest) => Effect.Effect<void, LinuxError>
    /**
     * Mounts an overlay, whatever its paths' lengths: some 200 lower directories fit, more than any builder stacks.
     * E2BIG: they do not.
     */
    readonly mountOverlay: (request: OverlayRequest) => Effect.Effect<void, LinuxError>
    /** Not recursive. EINVAL: the file system of the source cannot be mapped, or the namespace is none. */
    readonly bindMapped: (request: MappedBind) => Effect.Effect<void, LinuxError>
    /** False when the file system of the source takes no mapping; nothing is mounted. */
    readonly canMap: (request: Omit<MappedBind, "target">) => Effect.Effect<boolean, LinuxError>
    /** `detach` is MNT_DETACH. Links are not followed. EINVAL: not a mount point. */
    readonly unmount: (target: string, options?: { readonly detach?: boolean }) => Effect.Effect<void, LinuxError>
    /** Every mount of the namespace in mount order, optionally only those at or below a path. */
    readonly list: (below?: string) => Effect.Effect<ReadonlyArray<MountEntry>, LinuxError>
  }
>()("cricket/linux/Mounts") {
  static readonly layer = Layer.sync(Mounts, makeMounts)
}
