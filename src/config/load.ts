/** Reads configuration from where it is kept: main file, drop-ins, environment, flags, each over the one before. */
import { Effect, Result } from "effect"
import { posix } from "node:path"
import { Files } from "../linux/Files.ts"
import type { LinuxError } from "../linux/LinuxError.ts"
import { checkSettings, raiseFloors, withoutEffect } from "./check.ts"
import { ConfigError } from "./ConfigError.ts"
import { decodeDocument, type Layer } from "./decode.ts"
import { settingsFrom } from "./document.ts"
import { decodeOverrides, type Override } from "./overrides.ts"
import { type Problem, renderProblem } from "./Problem.ts"
import type { SettingsShape } from "./table/tables.ts"
import { parseToml } from "./toml/parse.ts"

export const defaultConfigFile = "/etc/crio/crio.conf"
export const defaultConfigDirectory = "/etc/crio/crio.conf.d"
export const standardInputPath = "/dev/stdin"
/** Names a file without content, as with every other program. */
const nothingPath = "/dev/null"

export interface ConfigSources {
  readonly file: string
  /** A file that somebody named has to exist; the default one need not. */
  readonly fileRequired: boolean
  readonly directory: string
  readonly environment: ReadonlyArray<Override>
  readonly flags: ReadonlyArray<Override>
}

export interface LoadedSettings {
  readonly settings: SettingsShape
  /** For the log: unknown and deprecated keys, files that were skipped, options without effect. Ready to be printed. */
  readonly warnings: ReadonlyArray<string>
  /** The files that were read, in order. */
  readonly files: ReadonlyArray<string>
}

const emptyLayer: Layer = { values: {}, places: new Map(), errors: [], warnings: [] }

/** A problem with a file as a whole. */
const wholeFile = (path: string, text: string): Problem => ({
  at: { source: { name: path, text: "", kind: "whole" }, line: 1, column: 1, length: 1 },
  text
})

interface ReadFile {
  readonly path: string
  readonly layer: Layer
  readonly read: boolean
}

const unread = (path: string, problems: Partial<Layer>): ReadFile => ({
  path,
  layer: { ...emptyLayer, ...problems },
  read: false
})

const unreadable = (path: string, error: LinuxError): ReadFile =>
  unread(path, { errors: [wholeFile(path, `cannot be read: ${error.message}`)] })

const decodeText = (path: string, text: string): ReadFile => ({
  path,
  layer: Result.match(parseToml({ name: path, text, kind: "file" }), {
    onFailure: (problem): Layer => ({ ...emptyLayer, errors: [problem] }),
    onSuccess: decodeDocument
  }),
  read: true
})

const readMain = Effect.fnUntraced(function* (
  sources: ConfigSources,
  standardInput: Effect.Effect<string, LinuxError>
) {
  const files = yield* Files
  const text =
    sources.file === standardInputPath
      ? standardInput
      : sources.file === nothingPath
        ? Effect.succeed("")
        : files.readText(sources.file)
  return yield* Effect.match(text, {
    onSuccess: (content) => decodeText(sources.file, content),
    onFailure: (error) =>
      error.code === "ENOENT" && !sources.fileRequired ? unread(sources.file, {}) : unreadable(sources.file, error)
  })
})

/**
 * A drop-in, or those of a directory and of the directories in it, in lexical order of their names. Other files than
 * `*.conf` are skipped with a warning: CRI-O reads them too, and a person should notice the difference.
 */
const readDropIns: (path: string) => Effect.Effect<ReadonlyArray<ReadFile>, never, Files> = Effect.fnUntraced(
  function* (path) {
    const files = yield* Files
    const { kind } = yield* files.stat(path)
    if (kind === "directory") {
      const names = yield* files.readDirectory(path)
      return (yield* Effect.forEach(names, (name) => readDropIns(posix.join(path, name)))).flat()
    }
    if (path.endsWith(".conf")) return [decodeText(path, yield* files.readText(path))]
    return [unread(path, { warnings: [wholeFile(path, "is ignored: its name does not end in .conf")] })]
  },
  (effect, path) =>
    Effect.catch(effect, (error) => Effect.succeed(error.code === "ENOENT" ? [] : [unreadable(path, error)]))
)

/**
 * The final settings, or every error of all sources at once. `standardInput` is read when the main file is /dev/stdin,
 * which is a pipe and therefore no file of `Files`.
 */
export const loadSettings: (
  sources: ConfigSources,
  standardInput: Effect.Effect<string, LinuxError>
) => Effect.Effect<LoadedSettings, ConfigError, Files> = Effect.fn("loadSettings")(function* (sources, standardInput) {
  const files = [yield* readMain(sources, standardInput), ...(yield* readDropIns(sources.directory))]
  const layers = [
    ...files.map(({ layer }) => layer),
    decodeOverrides(sources.environment),
    decodeOverrides(sources.flags)
  ]
  const settings = raiseFloors(settingsFrom(layers.map(({ values }) => values)))
  const places = new Map(layers.flatMap((layer) => [...layer.places]))
  const errors = [...layers.flatMap((layer) => layer.errors), ...checkSettings(settings, places)]
  if (errors.length > 0) return yield* new ConfigError({ problems: errors.map(renderProblem) })
  const ignored = withoutEffect(settings)
  return {
    settings,
    warnings: [
      ...layers.flatMap((layer) => layer.warnings.map(renderProblem)),
      ...(ignored.length === 0 ? [] : [`accepted, but not built yet and without effect: ${ignored.join(", ")}`])
    ],
    files: files.filter(({ read }) => read).map(({ path }) => path)
  }
})
