/** Namespaces of pods: made by the daemon, pinned as bind mounts, so no process has to live in them. */
import { Context, type Effect, Layer } from "effect"
import type { IdMappings } from "./IdMapping.ts"
import { makeNamespaces } from "./internal/namespaces.ts"
import type { LinuxError } from "./LinuxError.ts"

export type PinnedKind = "net" | "ipc" | "uts" | "user"

export interface PinRequest {
  /** The namespaces to make. Each is bound over `path`, an existing empty file. */
  readonly namespaces: ReadonlyArray<{ readonly kind: PinnedKind; readonly path: string }>
  /** Ids of the user namespace; given with one and only with one. It owns the other namespaces. */
  readonly mappings?: IdMappings
  /** Set in the new UTS namespace when there is one. */
  readonly hostname?: string
  /** Written below /proc/sys from inside the new namespaces; key in slash form ("net/ipv4/ip_forward"). */
  readonly sysctls: ReadonlyArray<{ readonly path: string; readonly value: string }>
}

export interface TrafficCounters {
  readonly bytes: bigint
  readonly packets: bigint
  readonly errors: bigint
  readonly dropped: bigint
}

/** Since the interface was made. */
export interface InterfaceCounters {
  readonly name: string
  readonly received: TrafficCounters
  readonly transmitted: TrafficCounters
}

export class Namespaces extends Context.Service<
  Namespaces,
  {
    /**
     * Unshares, brings loopback up in a new network namespace, sets hostname and sysctls, pins, and returns the thread
     * to its own namespaces, in one synchronous block of about a millisecond. On failure nothing stays pinned.
     * EINVAL: a sysctl or the hostname belongs to none of the requested namespaces, so it would change the host; or the
     * kernel does not take the mappings. ENOSPC: the host allows no more user namespaces (max_user_namespaces).
     */
    readonly pin: (request: PinRequest) => Effect.Effect<void, LinuxError>
    /** Unmounts (detached) and removes the pin. Succeeds when it is gone. */
    readonly unpin: (path: string) => Effect.Effect<void, LinuxError>
    /** True while `path` still is a pinned namespace of that kind (nsfs), false after a reboot or an unpin. */
    readonly isPinned: (path: string) => Effect.Effect<boolean, LinuxError>
    /**
     * Every interface of a pinned network namespace, loopback too, in the kernel's order. The thread is in it for some
     * 50 µs. ENOENT, or EINVAL for what is no network namespace.
     */
    readonly networkCounters: (path: string) => Effect.Effect<ReadonlyArray<InterfaceCounters>, LinuxError>
  }
>()("cricket/linux/Namespaces") {
  static readonly layer = Layer.sync(Namespaces, makeNamespaces)
}
