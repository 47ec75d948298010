/** One JSON file of records: read again only when it changed, replaced as a whole. */
import { Effect, Option, Result } from "effect"
import { stageFile, type StagedFile, writeFileAtomic } from "../../linux/atomicWrite.ts"
import { Files, type FileStat } from "../../linux/Files.ts"
import { ioError, StoreCorrupt, type StoreIo } from "../StoreError.ts"
import { noRecords, parseRecords, printRecords, type RecordCodec, type Records } from "./records.ts"

export interface RecordFile<R> {
  /** The same object as before while the file is unchanged. No lock is needed: writers replace the file by rename. */
  readonly load: Effect.Effect<Records<R>, StoreIo | StoreCorrupt>
  /** Under the write lock of the store, after a `load`. On the disk when it returns. */
  readonly save: (known: ReadonlyArray<R>) => Effect.Effect<void, StoreIo>
  /**
   * The same in two halves, so that several files can be written at a time and then be replaced in their order. After a
   * power loss each is whole, old or new.
   */
  readonly stage: (known: ReadonlyArray<R>) => Effect.Effect<StagedRecords, StoreIo>
}

export interface StagedRecords {
  readonly commit: Effect.Effect<void, StoreIo>
  readonly discard: Effect.Effect<void>
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
>(
  path: string,
  codec: RecordCodec<R>,
  /** `durable: false` for a file that lies on tmpfs. */
  options: { readonly durable?: boolean } = {}
) {
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

  const provided = Effect.provideService(Files, files)
  const replaced = Effect.fnUntraced(function* (known: ReadonlyArray<R>) {
    cached = { version: yield* version, records: { known, unknown: cached.records.unknown } }
  })
  const textOf = (known: ReadonlyArray<R>) => printRecords({ known, unknown: cached.records.unknown })

  const save = Effect.fnUntraced(function* (known: ReadonlyArray<R>) {
    const { durable = true } = options
    yield* writeFileAtomic(path, textOf(known), { durable }).pipe(provided, Effect.mapError(ioError("write", path)))
    yield* replaced(known)
  })

  const stage = Effect.fnUntraced(function* (known: ReadonlyArray<R>) {
    const staged: StagedFile = yield* stageFile(path, textOf(known)).pipe(
      provided,
      Effect.mapError(ioError("write", path))
    )
    const commit = staged.commit.pipe(provided, Effect.mapError(ioError("write", path)))
    return { commit: Effect.andThen(commit, replaced(known)), discard: provided(staged.discard) }
  })

  return { load, save, stage } satisfies RecordFile<R>
})
