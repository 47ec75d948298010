/** Pods' and containers' records on disk: one JSON file each, replaced atomically. One bad file never stops the start. */
import { Context, Effect, Layer, Schema } from "effect"
import { writeFileAtomic } from "../linux/atomicWrite.ts"
import { Files } from "../linux/Files.ts"
import { isGone, type LinuxError } from "../linux/LinuxError.ts"
import { ContainerRecord } from "./ContainerRecord.ts"
import { RecordError } from "./PodError.ts"
import { PodRecord } from "./PodRecord.ts"
import { PodSettings } from "./PodSettings.ts"

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

export class Records extends Context.Service<
  Records,
  {
    readonly savePod: (pod: PodRecord) => Effect.Effect<void, RecordError>
    readonly saveContainer: (container: ContainerRecord) => Effect.Effect<void, RecordError>
    /** Succeeds when there is none. */
    readonly dropPod: (id: string) => Effect.Effect<void, RecordError>
    readonly dropContainer: (id: string) => Effect.Effect<void, RecordError>
    readonly loadAll: Effect.Effect<
      {
        readonly pods: ReadonlyArray<PodRecord>
        readonly containers: ReadonlyArray<ContainerRecord>
        readonly damaged: ReadonlyArray<DamagedRecord>
      },
      RecordError
    >
    /** Puts a damaged record aside as `<id>.json.bad`, for people to look at. */
    readonly setAside: (record: DamagedRecord) => Effect.Effect<void, RecordError>
  }
>()("cricket/pod/Records") {
  static readonly layer = Layer.effect(
    Records,
    Effect.gen(function* () {
      const files = yield* Files
      const { stateDirectory } = yield* PodSettings
      const pathOf = (kind: DamagedRecord["kind"], id: string) => `${stateDirectory}/${kind}/${id}.json`

      for (const kind of ["pods", "containers"]) {
        yield* files.makeDirectory(`${stateDirectory}/${kind}`, { mode: 0o700, recursive: true })
      }

      const failed = (path: string, action: string) => (error: LinuxError | Schema.SchemaError) =>
        new RecordError({ path, reason: `${action}: ${error.message}`, cause: error })

      const save = Effect.fnUntraced(function* <E extends LinuxError | Schema.SchemaError>(
        path: string,
        encode: Effect.Effect<string, E>
      ) {
        yield* Effect.flatMap(encode, (text) =>
          writeFileAtomic(path, new TextEncoder().encode(text), { mode: 0o600 }).pipe(
            Effect.provideService(Files, files)
          )
        ).pipe(Effect.mapError(failed(path, "cannot be written")))
      })

      const drop = (path: string) =>
        files.removeFile(path).pipe(
          Effect.andThen(files.syncDirectory(path.slice(0, path.lastIndexOf("/")))),
          Effect.catchIf(isGone, () => Effect.void),
          Effect.mapError(failed(path, "cannot be removed"))
        )

      const loadKind = Effect.fnUntraced(function* <A extends { readonly id: string }>(
        kind: DamagedRecord["kind"],
        decode: (text: string) => Effect.Effect<A, Schema.SchemaError>
      ) {
        const directory = `${stateDirectory}/${kind}`
        const names = yield* files.readDirectory(directory).pipe(Effect.mapError(failed(directory, "cannot be listed")))
        const good: Array<A> = []
        const damaged: Array<DamagedRecord> = []
        for (const name of names.filter((name) => name.endsWith(".json"))) {
          const path = `${directory}/${name}`
          const id = name.slice(0, -".json".length)
          yield* files.readText(path).pipe(
            Effect.flatMap(decode),
            Effect.filterOrFail(
              (record) => record.id === id,
              (record) => ({ message: `it holds the record of ${record.id}` })
            ),
            Effect.match({
              onSuccess: (record) => void good.push(record),
              onFailure: (error) => void damaged.push({ kind, id, path, reason: error.message })
            })
          )
        }
        return { good, damaged }
      })

      return Records.of({
        savePod: Effect.fn("Records.savePod")((pod: PodRecord) => save(pathOf("pods", pod.id), encodePod(pod))),
        saveContainer: Effect.fn("Records.saveContainer")((container: ContainerRecord) =>
          save(pathOf("containers", container.id), encodeContainer(container))
        ),
        dropPod: Effect.fn("Records.dropPod")((id: string) => drop(pathOf("pods", id))),
        dropContainer: Effect.fn("Records.dropContainer")((id: string) => drop(pathOf("containers", id))),
        loadAll: Effect.gen(function* () {
          const pods = yield* loadKind("pods", decodePod)
          const containers = yield* loadKind("containers", decodeContainer)
          return {
            pods: pods.good,
            containers: containers.good,
            damaged: [...pods.damaged, ...containers.damaged]
          }
        }),
        setAside: Effect.fn("Records.setAside")((record: DamagedRecord) =>
          files
            .rename(record.path, `${record.path}.bad`)
            .pipe(Effect.mapError(failed(record.path, "cannot be renamed")))
        )
      })
    })
  )
}
