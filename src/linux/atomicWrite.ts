/** Files that are either the old or the new one after a crash, whenever it comes. */
import { Effect, Random } from "effect"
import { posix } from "node:path"
import { Files } from "./Files.ts"
import type { LinuxError } from "./LinuxError.ts"

export interface AtomicWriteOptions {
  /** Permission bits of the new file. Default 0600. */
  readonly mode?: number
}

// Two writers never share a name, and what a crash leaves behind is told from records by its dot.
const temporaryName = (path: string) =>
  Effect.map(Random.nextIntBetween(0, 0x7fff_ffff), (number) =>
    posix.join(posix.dirname(path), `.${posix.basename(path)}.${number.toString(36)}.tmp`)
  )

/** True for the names that an interrupted `writeFileAtomic` may leave in a directory: whoever owns it removes them. */
export const isTemporaryName = (name: string): boolean => /^\..+\.[0-9a-z]+\.tmp$/.test(name)

/**
 * Replaces a file: a temporary file beside it, written and synced, renamed over it, and the directory synced. On failure
 * or interruption the temporary file is removed and the old file stands. Made of the seam's single steps, so that a
 * simulated crash can fall between any two of them.
 */
export const writeFileAtomic: (
  path: string,
  data: Uint8Array | string,
  options?: AtomicWriteOptions
) => Effect.Effect<void, LinuxError, Files> = Effect.fn("writeFileAtomic")(function* (path, data, options) {
  const files = yield* Files
  const temporary = yield* temporaryName(path)
  const write = Effect.fnUntraced(function* () {
    const file = yield* files.open(temporary, "create", options?.mode ?? 0o600)
    yield* file.write(typeof data === "string" ? Buffer.from(data) : data)
    yield* file.sync
  }, Effect.scoped)
  yield* write().pipe(
    Effect.andThen(files.rename(temporary, path)),
    Effect.onError(() => Effect.ignore(files.removeFile(temporary)))
  )
  yield* files.syncDirectory(posix.dirname(path))
})
