/** Files that are either the old or the new one after a crash, whenever it comes. */
import { Effect, Random, Schedule } from "effect"
import { posix } from "node:path"
import { Files } from "./Files.ts"
import type { LinuxError } from "./LinuxError.ts"

export interface AtomicWriteOptions {
  /** Permission bits of the new file. Default 0600. */
  readonly mode?: number
  /** False for what need not outlive a power loss: nothing is synced, readers still see the old or the new file. */
  readonly durable?: boolean
}

// Two writers never share a name, and what a crash leaves behind is told from records by its dot.
const temporaryName = (path: string) =>
  Effect.map(Random.nextIntBetween(0, 0x7fff_ffff), (number) => {
    const name = path.lastIndexOf("/") + 1
    return `${path.slice(0, name)}.${path.slice(name)}.${number.toString(36)}.tmp`
  })

/** True for the names that an interrupted `writeFileAtomic` may leave in a directory: whoever owns it removes them. */
export const isTemporaryName = (name: string): boolean => /^\..+\.[0-9a-z]+\.tmp$/.test(name)

/** What then still stays goes at the next start. */
const removal = { times: 3, schedule: Schedule.spaced("50 millis") }

/** A file's new content, whole and beside it: one of the two is to be run. */
export interface StagedFile {
  /** Readers see the new file from then on. */
  readonly commit: Effect.Effect<void, LinuxError, Files>
  readonly discard: Effect.Effect<void, never, Files>
}

/**
 * The longer half of `writeFileAtomic`, up to the synced temporary file: several can be done at a time, and then be
 * committed in their order. The names are not synced. To be run where nothing can interrupt what follows it.
 */
export const stageFile: (
  path: string,
  data: Uint8Array | string,
  options?: AtomicWriteOptions
) => Effect.Effect<StagedFile, LinuxError, Files> = Effect.fnUntraced(function* (path, data, options) {
  const files = yield* Files
  const temporary = yield* temporaryName(path)
  const discard = Effect.suspend(() => Effect.ignore(Effect.retry(files.removeFile(temporary), removal)))
  const write = Effect.fnUntraced(function* () {
    const file = yield* files.open(temporary, "create", options?.mode ?? 0o600)
    yield* file.write(typeof data === "string" ? Buffer.from(data) : data)
    if (options?.durable ?? true) yield* file.sync
  }, Effect.scoped)
  yield* Effect.onError(write(), () => discard)
  return { commit: Effect.onError(files.rename(temporary, path), () => discard), discard }
})

/**
 * Replaces a file: a temporary file beside it, written and synced, renamed over it, and the directory synced. On failure
 * the temporary file is removed and the old file stands; an interruption waits for the new one. Made of the seam's
 * single steps, so that a simulated crash can fall between any two of them.
 */
export const writeFileAtomic: (
  path: string,
  data: Uint8Array | string,
  options?: AtomicWriteOptions
) => Effect.Effect<void, LinuxError, Files> = Effect.fn("writeFileAtomic")(function* (path, data, options) {
  const files = yield* Files
  yield* Effect.uninterruptible(Effect.flatMap(stageFile(path, data, options), ({ commit }) => commit))
  if (options?.durable ?? true) yield* files.syncDirectory(posix.dirname(path))
})
