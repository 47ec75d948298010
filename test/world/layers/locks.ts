/** Locks over a world. */
import { Effect, Layer, Option } from "effect"
import { Locks, type HeldLock, type LockMode } from "../../../src/linux/Locks.ts"
import type { Lock } from "../LockTable.ts"
import { Errno } from "../Errno.ts"
import { attempt } from "../Program.ts"
import type { OpenNode } from "../OpenNode.ts"
import { refused, type Seam } from "./Seam.ts"

export const locksLayer = (seam: Seam): Layer.Layer<Locks> => {
  const { world } = seam

  const open = (path: string): OpenNode => {
    if (!world.vfs.exists(path)) world.vfs.open(path, "create", 0o644)
    return world.vfs.open(path, "write")
  }

  const held = (path: string, file: OpenNode, mode: LockMode): HeldLock => ({
    readStamp: (length) => seam.sync("Locks", "readStamp", path, () => file.read(0, length)),
    writeStamp: (data) =>
      seam.sync("Locks", "writeStamp", path, () => {
        if (mode === "read") throw new Errno("EBADF")
        file.writeAt(0, data)
      })
  })

  const take = (path: string, mode: LockMode): { readonly lock: Lock; readonly file: OpenNode } | undefined => {
    const file = open(path)
    const lock = world.locks.tryLock(file.node, mode, seam.life)
    return lock && { lock, file }
  }

  // Polls as the real one does, 20 to 200 ms; only the waiting can be interrupted, so no lock is ever taken and lost.
  const poll = Effect.fnUntraced(function* (path: string, mode: LockMode, wait: (ms: number) => Effect.Effect<void>) {
    for (let waitMs = 20; ; waitMs = Math.min(waitMs * 2, 200)) {
      const taken = yield* attempt(() => take(path, mode))
      if (taken !== undefined) return taken
      yield* wait(waitMs)
    }
  })

  return Layer.succeed(Locks, {
    acquire: (path, mode) =>
      Effect.uninterruptibleMask((restore) =>
        seam
          .scoped(
            seam.effect(
              "Locks",
              "acquire",
              `${path} ${mode}`,
              refused(
                "lock",
                path,
                poll(path, mode, (ms) => restore(Effect.sleep(ms)))
              )
            ),
            ({ lock }) => world.locks.release(lock)
          )
          .pipe(Effect.map(({ file }) => held(path, file, mode)))
      ),
    tryAcquire: (path, mode) =>
      seam
        .scoped(
          seam.sync("Locks", "tryAcquire", `${path} ${mode}`, () => take(path, mode)),
          (taken) => {
            if (taken !== undefined) world.locks.release(taken.lock)
          }
        )
        .pipe(Effect.map((taken) => (taken === undefined ? Option.none() : Option.some(held(path, taken.file, mode)))))
  })
}
