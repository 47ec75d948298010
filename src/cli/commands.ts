/** The commands that print something and end. */
import { Effect } from "effect"
import type { ConfigError } from "../config/ConfigError.ts"
import { defaultSettings } from "../config/document.ts"
import { type ConfigSources, loadSettings } from "../config/load.ts"
import { printTemplate } from "../config/template.ts"
import type { Files } from "../linux/Files.ts"
import type { LinuxError } from "../linux/LinuxError.ts"
import { versionFields } from "./version.ts"

/** Prints text to standard output or standard error. */
export type Write = (text: string) => Effect.Effect<void>

export interface ConfigCommand {
  readonly sources: ConfigSources
  /** Print the defaults and read nothing. */
  readonly defaults: boolean
  /** What `--config /dev/stdin` reads. */
  readonly standardInput: Effect.Effect<string, LinuxError>
  readonly write: Write
  /** For warnings. */
  readonly writeError: Write
}

/** `cricket config [--default]`. */
export const runConfigCommand: (command: ConfigCommand) => Effect.Effect<void, ConfigError, Files> = Effect.fn(
  "runConfigCommand"
)(function* (command) {
  if (command.defaults) return yield* command.write(printTemplate(defaultSettings, { all: true }))
  const { settings, warnings } = yield* loadSettings(command.sources, command.standardInput)
  yield* Effect.forEach(warnings, (warning) => command.writeError(`warning: ${warning}\n`), { discard: true })
  yield* command.write(printTemplate(settings, { all: false }))
})

/** `cricket version [--json]`: a line `cricket version X`, then `key: value` lines; or one JSON object. */
export const runVersionCommand = (command: { readonly json: boolean; readonly write: Write }): Effect.Effect<void> => {
  const fields = versionFields()
  if (command.json) return command.write(`${JSON.stringify(fields, null, 2)}\n`)
  const width = Math.max(...Object.keys(fields).map((key) => key.length)) + 2
  const lines = Object.entries(fields).map(([key, value]) => `${`${key}:`.padEnd(width)}${value}\n`)
  return command.write(`cricket version ${fields.version}\n${lines.join("")}`)
}
