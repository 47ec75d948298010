/** Pods' and containers' records: JSON files, replaced atomically. One bad file never stops the start. */
import { Context, Effect, Layer, Result, Schema } from "effect"
import { Files } from "../linux/Files.ts"
import type { LinuxError } from "../linux/LinuxError.ts"
import { ContainerRecord } from "./ContainerRecord.ts"
import { RecordError } from "./PodError.ts"
import { PodRecord } from "./PodRecord.ts"
import { PodSettings } from "./PodSettings.ts"
import { type FoundRecord, makeRecordFiles, type RecordFiles } from "./recordFiles.ts"

/** A record that could not be read; its resources are found by the id in its name (see Recovery). */
export interface DamagedRecord {
  readonly kind: "pods" | "containers"
  readonly id: string
  readonly path: string
  readonly reason: string
}

const PodJson = Schema.fromJsonString(PodRecord)
const ContainerJson = Schema.fromJsonString(ContainerRecord)
const encodePod = Schema.encodeEffect(PodJson)
const encodeContainer = Schema.encodeEffect(ContainerJson)
const decodePod = Schema.decodeUnknownEffect(PodJson)
const decodeContainer = Schema.decodeUnknownEffect(ContainerJson)

/** What an earlier daemon left. */
export interface Loaded {
  readonly pods: ReadonlyArray<PodRecord>
  readonly containers: ReadonlyArray<ContainerRecord>
  readonly damaged: ReadonlyArray<DamagedRecord>
}

export class Records extends Context.Service<
  Records,
  {
    /** The first record, on the disk before anything that it names is taken. */
    readonly beginPod: (pod: PodRecord) => Effect.Effect<void, RecordError>
    readonly beginContainer: (container: ContainerRecord) => Effect.Effect<void, RecordError>
    /** A later one: it outlives the daemon at once, a power loss within a second. */
    readonly savePod: (pod: PodRecord) => Effect.Effect<void, RecordError>
    readonly saveContainer: (container: ContainerRecord) => Effect.Effect<void, RecordError>
    /** Succeeds when there is none. */
    readonly dropPod: (id: string) => Effect.Effect<void, RecordError>
    readonly dropContainer: (id: string) => Effect.Effect<void, RecordError>
    readonly loadAll: Effect.Effect<Loaded, RecordError>
    /** Puts a damaged record aside as `<id>.json.bad`, for people to look at. */
    readonly setAside: (record: DamagedRecord) => Effect.Effect<void, RecordError>
  }
>()("cricket/pod/Records") {
  static readonly layer = Layer.effect(
    Records,
    Effect.gen(function* () {
      const files = yield* Files
      const { stateDirectory, runDirectory, bootId } = yield* PodSettings
      const newest = `${runDirectory}/records`
      const filesOf = (kind: DamagedRecord["kind"]) =>
        makeRecordFiles({ durable: `${stateDirectory}/${kind}`, newest: `${newest}/${bootId}/${kind}` })
      const stored = { pods: yield* filesOf("pods"), containers: yield* filesOf("containers") }

      const failed = (object: string, action: string) => (error: LinuxError | Schema.SchemaError) =>
        new RecordError({ path: object, reason: `${action}: ${error.message}`, cause: error })
      const pathOf = (kind: DamagedRecord["kind"], id: string) => `${stateDirectory}/${kind}/${id}.json`

      const writing =
        (kind: DamagedRecord["kind"], how: "begin" | "save") =>
        <E extends LinuxError | Schema.SchemaError>(id: string, encode: Effect.Effect<string, E>) =>
          Effect.flatMap(encode, (text) => stored[kind][how](id, text)).pipe(
            Effect.mapError(failed(pathOf(kind, id), "cannot be written"))
          )
      const dropping = (kind: DamagedRecord["kind"]) => (id: string) =>
        stored[kind].drop(id).pipe(Effect.mapError(failed(pathOf(kind, id), "cannot be removed")))

      /** The newest version that can be read. */
      const loadOne = Effect.fnUntraced(function* <A extends { readonly id: string }>(
        { id, versions }: FoundRecord,
        decode: (text: string) => Effect.Effect<A, Schema.SchemaError>,
        follow: RecordFiles["follow"]
      ) {
        const reasons: Array<{ readonly path: string; readonly reason: string }> = []
        for (const { path, text } of versions) {
          const read = yield* text.pipe(
            Effect.flatMap((content) => Effect.map(decode(content), (record) => ({ record, content }))),
            Effect.filterOrFail(
              ({ record }) => record.id === id,
              ({ record }) => ({ message: `it holds the record of ${record.id}` })
            ),
            Effect.result
          )
          if (Result.isFailure(read)) {
            reasons.push({ path, reason: read.failure.message })
            continue
          }
          // The daemon may have died before it followed on the disk.
          if (versions.length > 1) yield* follow(id, read.success.content)
          return Result.succeed(read.success.record)
        }
        return Result.fail(reasons)
      })

      const loadKind = Effect.fnUntraced(function* <A extends { readonly id: string }>(
        kind: DamagedRecord["kind"],
        decode: (text: string) => Effect.Effect<A, Schema.SchemaError>
      ) {
        const { list, follow } = stored[kind]
        const found = yield* list.pipe(Effect.mapError(failed(`${stateDirectory}/${kind}`, "cannot be listed")))
        const good: Array<A> = []
        const damaged: Array<DamagedRecord> = []
        for (const one of found) {
          const loaded = yield* loadOne(one, decode, follow)
          if (Result.isSuccess(loaded)) good.push(loaded.success)
          else {
            const path = loaded.failure.at(-1)?.path ?? pathOf(kind, one.id)
            const reason = loaded.failure.map((each) => each.reason).join("; ")
            damaged.push({ kind, id: one.id, path, reason })
          }
        }
        return { good, damaged }
      })

      /** Where the directory is on no tmpfs, other boots leave theirs. */
      const removeOtherBoots = files.readDirectory(newest).pipe(
        Effect.flatMap(
          Effect.forEach((name) => (name === bootId ? Effect.void : files.removeTree(`${newest}/${name}`)), {
            discard: true
          })
        ),
        Effect.catch((error) => Effect.logWarning(`records of another boot stay in ${newest}: ${error.message}`))
      )

      return Records.of({
        beginPod: Effect.fn("Records.beginPod")((pod: PodRecord) => writing("pods", "begin")(pod.id, encodePod(pod))),
        beginContainer: Effect.fn("Records.beginContainer")((container: ContainerRecord) =>
          writing("containers", "begin")(container.id, encodeContainer(container))
        ),
        savePod: Effect.fn("Records.savePod")((pod: PodRecord) => writing("pods", "save")(pod.id, encodePod(pod))),
        saveContainer: Effect.fn("Records.saveContainer")((container: ContainerRecord) =>
          writing("containers", "save")(container.id, encodeContainer(container))
        ),
        dropPod: Effect.fn("Records.dropPod")(dropping("pods")),
        dropContainer: Effect.fn("Records.dropContainer")(dropping("containers")),
        loadAll: Effect.gen(function* () {
          yield* removeOtherBoots
          const pods = yield* loadKind("pods", decodePod)
          const containers = yield* loadKind("containers", decodeContainer)
          return {
            pods: pods.good,
            containers: containers.good,
            damaged: [...pods.damaged, ...containers.damaged]
          }
        }),
        setAside: Effect.fn("Records.setAside")(({ kind, id, path }: DamagedRecord) =>
          stored[kind].setAside(id).pipe(Effect.mapError(failed(path, "cannot be renamed")))
        )
      })
    })
  )
}
