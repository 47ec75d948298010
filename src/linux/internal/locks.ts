/** Record locks of the real host: open file description locks, asked for again and again so that no thread waits. */
import { Effect, Option, type Scope } from "effect"
import { constants } from "node:fs"
import * as fs from "node:fs/promises"
import type { LinuxError } from "../LinuxError.ts"
import type { HeldLock, LockMode, Locks } from "../Locks.ts"
import { attempt, attemptSync, codeOf } from "./attempt.ts"
import { setFileLock } from "./native.ts"

const firstWaitMs = 20
const longestWaitMs = 200

const openLockFile = async (path: string, mode: LockMode): Promise<fs.FileHandle> => {
  const { O_CREAT, O_EXCL, O_RDONLY, O_RDWR } = constants
  const access = mode === "write" ? O_RDWR : O_RDONLY
  for (let attempts = 0; ; attempts++) {
    try {
      return await fs.open(path, access)
    } catch (error) {
      if (codeOf(error) !== "ENOENT") throw error
    }
    try {
      const made = await fs.open(path, access | O_CREAT | O_EXCL, 0o644)
      // Whatever the umask: other programs have to be able to open it too.
      await made.chmod(0o644)
      return made
    } catch (error) {
      if (codeOf(error) !== "EEXIST" || attempts === 10) throw error
    }
  }
}

const closeLockFile = async (file: fs.FileHandle): Promise<void> => {
  // Unlocked by name: a child between fork and exec may still share the description.
  try {
    setFileLock(file.fd, "none")
  } finally {
    await file.close()
  }
}

const open = (path: string, mode: LockMode): Effect.Effect<fs.FileHandle, LinuxError, Scope.Scope> =>
  Effect.acquireRelease(
    attempt("open", path, () => openLockFile(path, mode)),
    (file) => Effect.ignore(attempt("close", path, () => closeLockFile(file)))
  )

/** False when somebody else holds a lock that conflicts. */
const tryLock = (path: string, file: fs.FileHandle, mode: LockMode): Effect.Effect<boolean, LinuxError> =>
  attemptSync("lock", path, () => {
    try {
      setFileLock(file.fd, mode)
      return true
    } catch (error) {
      if (codeOf(error) === "EAGAIN" || codeOf(error) === "EACCES") return false
      throw error
    }
  })

const heldLock = (path: string, file: fs.FileHandle): HeldLock => ({
  readStamp: (length) =>
    attempt("read", path, async () => {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, 0)
      return buffer.subarray(0, bytesRead)
    }),
  writeStamp: (data) =>
    attempt("write", path, async () => {
      await file.write(data, 0, data.length, 0)
    })
})

const acquire = Effect.fn("Locks.acquire")(function* (path: string, mode: LockMode) {
  const file = yield* open(path, mode)
  for (let wait = firstWaitMs; !(yield* tryLock(path, file, mode)); wait = Math.min(wait * 1.5, longestWaitMs)) {
    yield* Effect.sleep(wait)
  }
  return heldLock(path, file)
})

const tryAcquire = Effect.fn("Locks.tryAcquire")(function* (path: string, mode: LockMode) {
  const file = yield* open(path, mode)
  return (yield* tryLock(path, file, mode)) ? Option.some(heldLock(path, file)) : Option.none()
})

export const makeLocks = (): Locks["Service"] => ({ acquire, tryAcquire })
