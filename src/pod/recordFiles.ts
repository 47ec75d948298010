/**
 * Where records lie. The newest version of each is on tmpfs, written at every change: what the kernel holds for us goes
 * with the boot, and so may the words about it. The durable version says what is taken before it is taken, and follows
 * the newest one within half a second: it is what a power loss leaves.
 */
import { Deferred, Effect, Latch } from "effect"
import { posix } from "node:path"
import { isTemporaryName, writeFileAtomic } from "../linux/atomicWrite.ts"
import { Files } from "../linux/Files.ts"
import { keepRunning } from "../linux/keepRunning.ts"
import { isGone, type LinuxError } from "../linux/LinuxError.ts"

/** Texts of one record, newest first, each with its file. */
export interface FoundRecord {
  readonly id: string
  readonly versions: ReadonlyArray<{ readonly path: string; readonly text: Effect.Effect<string, LinuxError> }>
}

export interface RecordFiles {
  /** On the disk when this returns. */
  readonly begin: (id: string, text: string) => Effect.Effect<void, LinuxError>
  /** Outlives the daemon when this returns. */
  readonly save: (id: string, text: string) => Effect.Effect<void, LinuxError>
  /** Succeeds when there is none. */
  readonly drop: (id: string) => Effect.Effect<void, LinuxError>
  /** At start, by the one daemon that owns the directories. */
  readonly list: Effect.Effect<ReadonlyArray<FoundRecord>, LinuxError>
  /** The version that `list` gave first has not reached the disk. */
  readonly follow: (id: string, text: string) => Effect.Effect<void>
  /** Renames every version to `<path>.bad`, for people to look at. */
  readonly setAside: (id: string) => Effect.Effect<void, LinuxError>
}

/** Changes come in bursts, one start or stop of a pod each: the disk is asked once for all of them. */
const delay = "500 millis"
const delayAfterFailure = "5 seconds"

const isRecord = (name: string) => name.endsWith(".json") && !name.startsWith(".")

/** Both directories are made. What is still due goes to the disk when the scope closes. */
export const makeRecordFiles = Effect.fnUntraced(function* (places: {
  readonly durable: string
  /** On tmpfs, of this boot only. */
  readonly newest: string
}) {
  const files = yield* Files
  for (const directory of [places.durable, places.newest]) {
    yield* files.makeDirectory(directory, { mode: 0o700, recursive: true })
  }
  const durable = (id: string) => posix.join(places.durable, `${id}.json`)
  const newest = (id: string) => posix.join(places.newest, `${id}.json`)
  const write = (path: string, text: string, options: { readonly durable: boolean }) =>
    writeFileAtomic(path, text, { mode: 0o600, ...options }).pipe(Effect.provideService(Files, files))
  const unlessGone = <A>(self: Effect.Effect<A, LinuxError>) => Effect.catchIf(self, isGone, () => Effect.void)

  const due = new Map<string, string>()
  const inHand = new Map<string, Deferred.Deferred<void>>()
  let dropped = false
  const work = yield* Latch.make()

  const bringToDisk = Effect.fnUntraced(function* (id: string) {
    const text = due.get(id)
    if (text === undefined) return
    const done = Deferred.makeUnsafe<void>()
    inHand.set(id, done)
    yield* write(durable(id), text, { durable: true }).pipe(
      Effect.andThen(
        Effect.sync(() => {
          if (due.get(id) === text) due.delete(id)
        })
      ),
      Effect.ensuring(
        Effect.sync(() => {
          inHand.delete(id)
          Deferred.doneUnsafe(done, Effect.void)
        })
      )
    )
  })

  const bringAllToDisk = Effect.gen(function* () {
    yield* Effect.forEach([...due.keys()], bringToDisk, { concurrency: 4, discard: true })
    if (!dropped) return
    dropped = false
    yield* files.syncDirectory(places.durable).pipe(Effect.tapError(() => Effect.sync(() => (dropped = true))))
  })

  const behind = Effect.gen(function* () {
    yield* work.await
    yield* Effect.sleep(delay)
    yield* work.close
    yield* bringAllToDisk.pipe(
      Effect.onError(() => work.open),
      Effect.catch((error) =>
        Effect.logWarning(`records do not reach the disk, tried again: ${error.message}`).pipe(
          Effect.andThen(Effect.sleep(delayAfterFailure))
        )
      )
    )
  })
  yield* Effect.addFinalizer(() =>
    Effect.catch(bringAllToDisk, (error) => Effect.logWarning(`records did not reach the disk: ${error.message}`))
  )
  yield* keepRunning("the way of records to the disk", behind)

  const follow = (id: string, text: string) =>
    Effect.suspend(() => {
      due.set(id, text)
      return Effect.asVoid(work.open)
    })

  const namesIn = Effect.fnUntraced(function* (directory: string) {
    const names = yield* files.readDirectory(directory)
    // What a daemon that died was writing.
    const unfinished = names.filter(isTemporaryName)
    yield* Effect.forEach(unfinished, (name) => unlessGone(files.removeFile(posix.join(directory, name))), {
      discard: true
    })
    return names.filter(isRecord)
  })

  return {
    begin: (id, text) => write(durable(id), text, { durable: true }),
    save: (id, text) => Effect.andThen(write(newest(id), text, { durable: false }), follow(id, text)),
    // The newest version last: without it the durable one would bring an older state back.
    drop: Effect.fnUntraced(function* (id) {
      due.delete(id)
      const writing = inHand.get(id)
      if (writing !== undefined) yield* Deferred.await(writing)
      yield* unlessGone(files.removeFile(durable(id)))
      yield* unlessGone(files.removeFile(newest(id)))
      dropped = true
      yield* work.open
    }),
    list: Effect.gen(function* () {
      const [latest, older] = [yield* namesIn(places.newest), yield* namesIn(places.durable)]
      return [...new Set([...latest, ...older])].map((name) => {
        const id = name.slice(0, -".json".length)
        const paths = [...(latest.includes(name) ? [newest(id)] : []), ...(older.includes(name) ? [durable(id)] : [])]
        return { id, versions: paths.map((path) => ({ path, text: files.readText(path) })) }
      })
    }),
    follow,
    setAside: (id) =>
      Effect.forEach([newest(id), durable(id)], (path) => unlessGone(files.rename(path, `${path}.bad`)), {
        discard: true
      })
  } satisfies RecordFiles
})
