/** Network configuration as administrators write it: lists (.conflist) and single plugins (.conf, .json). */
import { Result, Schema } from "effect"
import { bestFirst, spokenVersions, unnamedVersion } from "./version.ts"

export type Json = Readonly<Record<string, unknown>>

export interface PluginConfig {
  /** Name of the executable, without any slash. */
  readonly type: string
  /** Names of the capabilities that the plugin declares as supported. */
  readonly capabilities: ReadonlyArray<string>
  /** In place of the network's version. */
  readonly version?: string
  /** The whole object: plugins own every key that the specification does not name. */
  readonly raw: Json
}

export interface NetworkList {
  readonly name: string
  /** The configuration's versions that Cricket speaks, best first; never empty. */
  readonly versions: ReadonlyArray<string>
  readonly disableCheck: boolean
  readonly disableGc: boolean
  readonly plugins: ReadonlyArray<PluginConfig>
  /** The text of the file, which is what libcni's cache keeps. */
  readonly text: string
}

/** A list whose version all its plugins support. */
export interface Network extends NetworkList {
  readonly version: string
}

const PluginShape = Schema.Struct({
  type: Schema.NonEmptyString,
  capabilities: Schema.optionalKey(Schema.NullOr(Schema.Record(Schema.String, Schema.Boolean)))
})

// The specification says boolean; version 1.0 of its text allowed "true" as a string.
const Flag = Schema.optionalKey(Schema.Union([Schema.Boolean, Schema.Literals(["true", "false"])]))

const ListShape = Schema.Struct({
  name: Schema.String,
  cniVersion: Schema.optionalKey(Schema.String),
  cniVersions: Schema.optionalKey(Schema.Array(Schema.String)),
  disableCheck: Flag,
  disableGC: Flag,
  plugins: Schema.Array(Schema.Record(Schema.String, Schema.Unknown))
})

const JsonObject = Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown))
const decodeJson = Schema.decodeUnknownResult(JsonObject)
const decodeList = Schema.decodeUnknownResult(ListShape)
const decodePlugin = Schema.decodeUnknownResult(PluginShape)

// libcni's utils.ValidateNetworkName: the name becomes part of file names.
const networkName = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/

const parsePlugin = (raw: Json, where: string): Result.Result<PluginConfig, string> =>
  Result.gen(function* () {
    const shape = yield* Result.mapError(decodePlugin(raw), (error) => `${where}${oneLine(error.message)}`)
    if (shape.type.includes("/") || shape.type.includes("\0") || shape.type === "." || shape.type === "..") {
      return yield* Result.fail(
        `${where}type ${JSON.stringify(shape.type)} is a path; it must be the name of a program in a plugin directory`
      )
    }
    const capabilities = Object.entries(shape.capabilities ?? {}).flatMap(([name, on]) => (on ? [name] : []))
    return { type: shape.type, capabilities, raw }
  })

/** Reads a list, or a single plugin as a list of one. The failure is a sentence for the administrator. */
export const parseNetworkList = (text: string): Result.Result<NetworkList, string> =>
  Result.gen(function* () {
    const raw = yield* Result.mapError(decodeJson(text), (error) => `not a JSON object: ${oneLine(error.message)}`)
    const isList = "plugins" in raw
    const list = yield* Result.mapError(decodeList(isList ? raw : { ...raw, plugins: [raw] }), (error) =>
      oneLine(error.message)
    )
    if (!networkName.test(list.name)) {
      return yield* Result.fail(
        `name ${JSON.stringify(list.name)} must begin with a letter or digit and have only letters, digits, "_", "." and "-"`
      )
    }
    if (list.plugins.length === 0) return yield* Result.fail("plugins is empty")
    const asked = [list.cniVersion ?? unnamedVersion, ...(list.cniVersions ?? [])]
    const versions = bestFirst(asked)
    if (versions.length === 0) {
      return yield* Result.fail(`cniVersion ${asked.join(", ")} is not supported; known: ${spokenVersions.join(", ")}`)
    }
    const plugins: Array<PluginConfig> = []
    for (const [index, plugin] of list.plugins.entries()) {
      plugins.push(yield* parsePlugin(plugin, isList ? `plugins[${index}]: ` : ""))
    }
    return {
      name: list.name,
      versions,
      disableCheck: isOn(list.disableCheck),
      disableGc: isOn(list.disableGC),
      plugins,
      text
    }
  })

const isOn = (flag: boolean | "true" | "false" | undefined): boolean => flag === true || flag === "true"

const oneLine = (text: string): string => text.replace(/\s*\n\s*/g, " ")
