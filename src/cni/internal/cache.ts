/** Attachments on disk, in the files and the format of libcni, so that every user of CNI on the host can read them. */
import { Effect, Option, Result, Schema } from "effect"
import { Buffer } from "node:buffer"
import { isGone, type LinuxError } from "../../linux/LinuxError.ts"
import type { Files } from "../../linux/Files.ts"
import type { Attachment } from "../Attachment.ts"
import { type Json, parseNetworkList } from "./configuration.ts"
import type { ChainRequest } from "./chain.ts"

/** One file below `results/`: libcni's cachedInfo. */
const CachedAttachment = Schema.Struct({
  kind: Schema.Literal("cniCacheV1"),
  containerId: Schema.String,
  /** Base64 of the configuration file's bytes. */
  config: Schema.String,
  ifName: Schema.String,
  networkName: Schema.String,
  netns: Schema.optionalKey(Schema.String),
  cniArgs: Schema.optionalKey(Schema.NullOr(Schema.Array(Schema.Tuple([Schema.String, Schema.String])))),
  capabilityArgs: Schema.optionalKey(Schema.NullOr(Schema.Record(Schema.String, Schema.Unknown))),
  result: Schema.optionalKey(Schema.NullOr(Schema.Record(Schema.String, Schema.Unknown)))
})
type CachedAttachment = typeof CachedAttachment.Type

const decode = Schema.decodeUnknownOption(Schema.fromJsonString(CachedAttachment))

/** What a file says about an attachment: enough for DEL and CHECK whatever has become of the configuration. */
export interface Remembered {
  readonly file: string
  readonly request: ChainRequest
  /** The result of ADD. */
  readonly result: Json | undefined
}

export const encodeCached = (request: ChainRequest, result: Json): string =>
  JSON.stringify({
    kind: "cniCacheV1",
    containerId: request.containerId,
    config: Buffer.from(request.network.text).toString("base64"),
    ifName: request.interfaceName,
    networkName: request.network.name,
    ...(request.netns !== "" && { netns: request.netns }),
    cniArgs: request.cniArgs,
    ...(Object.keys(request.capabilityArgs).length > 0 && { capabilityArgs: request.capabilityArgs }),
    result
  } satisfies CachedAttachment)

/** None for a file that is cut off, of another kind or with a configuration that nobody can run. */
export const decodeCached = (file: string, text: string): Option.Option<Remembered> =>
  Option.flatMap(decode(text), (cached) => {
    const list = parseNetworkList(Buffer.from(cached.config, "base64").toString())
    if (Result.isFailure(list)) return Option.none()
    const { versions } = list.success
    const version = versions.find((version) => version === cached.result?.["cniVersion"]) ?? versions[0]
    if (version === undefined) return Option.none()
    return Option.some({
      file,
      request: {
        network: { ...list.success, version },
        containerId: cached.containerId,
        netns: cached.netns ?? "",
        interfaceName: cached.ifName,
        cniArgs: cached.cniArgs ?? [],
        capabilityArgs: cached.capabilityArgs ?? {}
      },
      result: cached.result ?? undefined
    })
  })

export interface Found {
  /** One for each network that holds the interface; normally one. */
  readonly remembered: ReadonlyArray<Remembered>
  /** Files that say nothing: cut off by a loss of power, or by the end of the daemon that wrote them. */
  readonly broken: ReadonlyArray<string>
}

export interface AttachmentCache {
  readonly write: (request: ChainRequest, result: Json) => Effect.Effect<void, LinuxError>
  /** What is there about this interface of this pod. A file that cannot be read now is a failure. */
  readonly find: (attachment: Pick<Attachment, "podId" | "interfaceName">) => Effect.Effect<Found, LinuxError>
  /** Without the files that cannot be read or understood. */
  readonly list: Effect.Effect<ReadonlyArray<Remembered>, LinuxError>
  /** Succeeds when it is gone. */
  readonly remove: (file: string) => Effect.Effect<void, LinuxError>
}

export const makeAttachmentCache = (files: Files["Service"], cacheDirectory: string): AttachmentCache => {
  const directory = `${cacheDirectory.replace(/\/+$/, "")}/results`

  const names = Effect.catchIf(files.readDirectory(directory), isGone, () => Effect.succeed([]))

  const read = (name: string) =>
    Effect.map(files.readText(`${directory}/${name}`), (text) => decodeCached(`${directory}/${name}`, text))

  const find = Effect.fnUntraced(function* ({ podId, interfaceName }: Pick<Attachment, "podId" | "interfaceName">) {
    const remembered: Array<Remembered> = []
    const broken: Array<string> = []
    for (const name of (yield* names).filter((name) => name.endsWith(`-${podId}-${interfaceName}`))) {
      const record = yield* read(name)
      if (Option.isNone(record)) broken.push(`${directory}/${name}`)
      else if (record.value.request.containerId !== podId || record.value.request.interfaceName !== interfaceName)
        continue
      else remembered.push(record.value)
    }
    return { remembered, broken }
  })

  return {
    // Not synced: after a power loss the file may be gone or empty, and DEL then goes by the current configuration.
    write: Effect.fnUntraced(function* (request, result) {
      const name = `${request.network.name}-${request.containerId}-${request.interfaceName}`
      const temporary = `${directory}/.${name}`
      yield* files.makeDirectory(directory, { mode: 0o700, recursive: true })
      yield* Effect.scoped(
        Effect.flatMap(files.open(temporary, "truncate", 0o600), (file) =>
          file.write(Buffer.from(encodeCached(request, result)))
        )
      ).pipe(
        Effect.andThen(files.rename(temporary, `${directory}/${name}`)),
        Effect.onError(() => Effect.ignore(files.removeFile(temporary)))
      )
    }),
    find,
    list: Effect.flatMap(names, (all) =>
      Effect.map(
        Effect.forEach(
          all.filter((name) => !name.startsWith(".")),
          (name) => Effect.map(Effect.option(read(name)), Option.flatten)
        ),
        somes
      )
    ),
    // Gone for good before the pod's own record goes: after a loss of power nobody would know whose it is.
    remove: (file) =>
      Effect.catchIf(Effect.andThen(files.removeFile(file), files.syncDirectory(directory)), isGone, () => Effect.void)
  }
}

const somes = <A>(options: ReadonlyArray<Option.Option<A>>): ReadonlyArray<A> =>
  options.flatMap((option) => (Option.isSome(option) ? [option.value] : []))
