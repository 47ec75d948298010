/** One JSON file of records: read again only when it changed, replaced as a whole. */
import { Effect, Option, Result } from "effect"
import { writeFileAtomic } from "../../linux/atomicWrite.ts"
import { Files, type FileStat } from "../../linux/Files.ts"
import { ioError, StoreCorrupt, type StoreIo } from "../StoreError.ts"
import { noRecords, parseRecords, printRecords, type RecordCodec, type Records } from "./records.ts"

export interface RecordFile<R> {
  /** The same object as before while the file is unchanged. No lock is needed: writers replace the file by rename. */
  readonly load: Effect.Effect<Records<R>, StoreIo | StoreCorrupt>
  /** Under the write lock of the store, after a `load`. */
  readonly save: (known: ReadonlyArray<R>) => Effect.Effect<void, StoreIo | StoreCorrupt>
}

interface Cached<R> {
  /** What stat said before the read; "" where there was no file. */
  readonly version: string
  readonly records: Records<R>
}

// Replacing makes a new inode; a number that is used again comes with another time or size.
const versionOf = (stat: FileStat): string => `${stat.inode} ${stat.size} ${stat.modifiedMs}`

const MAX_BYTES = 256 * 1024 * 1024

export const makeRecordFile = Effect.fnUntraced(function* <
  R extends { readonly raw: Readonly<Record<string, unknown>> }
>(path: string, codec: RecordCodec<R>) {
  const files = yield* Files
  let cached: Cached<R> = { version: "", records: noRecords }

  const version = files.stat(path).pipe(
    Effect.map(versionOf),
    Effect.catchIf(
      (error) => error.code === "ENOENT",
      () => Effect.succeed("")
    ),
    Effect.mapError(ioError("stat", path))
  )

  const read = files.readText(path, { maxBytes: MAX_BYTES }).pipe(
    Effect.asSome,
    Effect.catchIf(
      (error) => error.code === "ENOENT",
      () => Effect.succeed(Option.none<string>())
    ),
    Effect.mapError(ioError("read", path))
  )

  const load = Effect.gen(function* () {
    const current = yield* version
    if (current === cached.version) return cached.records
    const parsed = parseRecords(
      codec,
      Option.getOrElse(yield* read, () => "")
    )
    if (Result.isFailure(parsed)) return yield* new StoreCorrupt({ path, reason: parsed.failure })
    cached = { version: current, records: parsed.success }
    return cached.records
  })

  const save = Effect.fnUntraced(function* (known: ReadonlyArray<R>) {
    const records = { known, unknown: cached.records.unknown }
    yield* writeFileAtomic(path, printRecords(records)).pipe(
      Effect.provideService(Files, files),
      Effect.mapError(ioError("write", path))
    )
    cached = { version: yield* version, records }
  })

  return { load, save } satisfies RecordFile<R>
})
