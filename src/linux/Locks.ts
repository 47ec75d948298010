/** Record locks shared with other programs (podman, skopeo, buildah) and between two daemons. */
import { Context, type Effect, Layer, type Option, type Scope } from "effect"
import { makeLocks } from "./internal/locks.ts"
import type { LinuxError } from "./LinuxError.ts"

export type LockMode = "read" | "write"

/** A held lock; the file stays open while it is held. */
export interface HeldLock {
  /** The first bytes of the lock file, at most `length`: containers/storage keeps its last-writer record there. */
  readonly readStamp: (length: number) => Effect.Effect<Uint8Array, LinuxError>
  readonly writeStamp: (data: Uint8Array) => Effect.Effect<void, LinuxError>
}

export class Locks extends Context.Service<
  Locks,
  {
    /**
     * An fcntl lock over the whole file (F_OFD_SETLK, so it conflicts with F_SETLK of other programs), made 0644 if
     * missing. Polls from 20 to 200 ms, interruptible; released with the scope. Not re-entrant: two holders in one
     * process exclude each other too.
     */
    readonly acquire: (path: string, mode: LockMode) => Effect.Effect<HeldLock, LinuxError, Scope.Scope>
    /** None at once when somebody else holds it. */
    readonly tryAcquire: (
      path: string,
      mode: LockMode
    ) => Effect.Effect<Option.Option<HeldLock>, LinuxError, Scope.Scope>
  }
>()("cricket/linux/Locks") {
  static readonly layer = Layer.sync(Locks, makeLocks)
}
