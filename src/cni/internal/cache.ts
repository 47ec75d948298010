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

export interface AttachmentCache {
  readonly write: (request: ChainRequest, result: Json) => Effect.Effect<void, LinuxError>
  /** All networks that hold this interface of this pod; normally one. */
  readonly find: (
    attachment: Pick<Attachment, "podId" | "interfaceName">
  ) => Effect.Effect<ReadonlyArray<Remembered>, LinuxError>
  readonly list: Effect.Effect<ReadonlyArray<Remembered>, LinuxError>
  readonly remove: (remembered: Remembered) => Effect.Effect<void, LinuxError>
}

export const makeAttachmentCache = (files: Files["Service"], cacheDirectory: string): AttachmentCache => {
  const directory = `${cacheDirectory.replace(/\/+$/, "")}/results`

  const names = Effect.catchIf(files.readDirectory(directory), isGone, () => Effect.succeed([]))

  const read = Effect.fnUntraced(function* (name: string) {
    const path = `${directory}/${name}`
    const text = yield* files.readText(path).pipe(Effect.option)
    return Option.flatMap(text, (text) => decodeCached(path, text))
  })

  const readAll = (wanted: (name: string) => boolean) =>
    Effect.flatMap(names, (all) => Effect.map(Effect.forEach(all.filter(wanted), read), somes))

  return {
    // Not synced: after a power loss the file may be gone, and DEL then goes by the current configuration.
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
    find: ({ podId, interfaceName }) =>
      Effect.map(
        readAll((name) => name.endsWith(`-${podId}-${interfaceName}`)),
        (found) =>
          found.filter(({ request }) => request.containerId === podId && request.interfaceName === interfaceName)
      ),
    list: readAll((name) => !name.startsWith(".")),
    remove: ({ file }) => Effect.catchIf(files.removeFile(file), isGone, () => Effect.void)
  }
}

const somes = <A>(options: ReadonlyArray<Option.Option<A>>): ReadonlyArray<A> =>
  options.flatMap((option) => (Option.isSome(option) ? [option.value] : []))
