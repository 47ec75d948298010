/** The command line and the environment, parsed into what the program shall do. */
import { type ConfigSources } from "../config/load.ts"
import { environmentOverrides, makeOverride, type Override } from "../config/overrides.ts"
import { suggest } from "../config/suggest.ts"
import { type Flag, optionFlags, type ProgramFlag, programFlags, spellFlag } from "./flags.ts"

/** What the daemon is told outside its configuration. */
export interface ServeOptions {
  readonly sources: ConfigSources
  /** File for the daemon's log; undefined for standard error. */
  readonly logFile: string | undefined
  readonly logFormat: "text" | "json"
  /** registries.conf and its drop-ins, where not the system's. */
  readonly registriesConf: string | undefined
  readonly registriesConfDirectory: string | undefined
  /** Flags given that nothing looks at yet, with their dashes. */
  readonly withoutEffect: ReadonlyArray<string>
}

export type Command =
  | ({ readonly _tag: "Serve" } & ServeOptions)
  | { readonly _tag: "Config"; readonly sources: ConfigSources; readonly defaults: boolean }
  | { readonly _tag: "Version"; readonly json: boolean }
  | { readonly _tag: "Help"; readonly topic: "program" | "config" | "version" }
  /** The property harness has a command line of its own. */
  | { readonly _tag: "Harness"; readonly arguments: ReadonlyArray<string> }
  /** Not understood: lines for standard error; the exit code is 1. */
  | { readonly _tag: "Invalid"; readonly problems: ReadonlyArray<string> }

const commandFlags = {
  config: { default: ["default"] },
  version: { json: ["json", "j"], verbose: ["verbose", "v"] }
} as const

const commands = ["config", "harness", "version", "help"]

/** Commands of CRI-O that somebody may type. */
const foreignCommands = new Set([
  "check",
  "complete",
  "completion",
  "man",
  "markdown",
  "md",
  "publish",
  "status",
  "wipe"
])

const flagsByName = new Map<string, Flag | ProgramFlag>([
  ...optionFlags.flatMap((flag) => flag.names.map((name) => [name, flag] as const)),
  ...(Object.keys(programFlags) as ReadonlyArray<ProgramFlag>).flatMap((key) =>
    programFlags[key].names.map((name): [string, ProgramFlag] => [name, key])
  )
])

interface Parsed {
  readonly words: Array<string>
  readonly program: Map<ProgramFlag, string>
  /** Flags of the command, without dashes. */
  readonly command: Set<string>
  readonly overrides: Array<Override>
  readonly withoutEffect: Set<string>
  readonly problems: Array<string>
  /** After an unknown flag the next word may be its value: then nothing is said about words. */
  wordsAreCertain: boolean
}

const unknownFlag = (argument: string, name: string, own: ReadonlyArray<string>): string => {
  const near = suggest(name, [...own, ...[...flagsByName.keys()].filter((known) => known.length > 1)])
  return `unknown flag ${argument}${near === undefined ? "" : `; did you mean ${spellFlag(near)}?`}`
}

const parseWords = (argv: ReadonlyArray<string>, own: (command: string) => ReadonlyArray<string>): Parsed => {
  const parsed: Parsed = {
    words: [],
    program: new Map(),
    command: new Set(),
    overrides: [],
    withoutEffect: new Set(),
    problems: [],
    wordsAreCertain: true
  }
  for (let index = 0; index < argv.length; index++) {
    const argument = argv[index] ?? ""
    const [, name, , attached] = /^--?([^=-][^=]*)(=([^]*))?$/.exec(argument) ?? []
    if (name === undefined) {
      if (argument.startsWith("-")) parsed.problems.push(`${JSON.stringify(argument)} is no flag`)
      else parsed.words.push(argument)
      continue
    }
    const commandNames = own(parsed.words[0] ?? "")
    if (commandNames.includes(name) && attached === undefined) {
      parsed.command.add(name)
      continue
    }
    const found = flagsByName.get(name)
    if (found === undefined) {
      parsed.problems.push(unknownFlag(argument, name, commandNames))
      if (attached === undefined) parsed.wordsAreCertain = false
      continue
    }
    const flag: Flag = typeof found === "string" ? programFlags[found] : found
    const next = flag.takesValue && attached === undefined ? argv[++index] : undefined
    const value = attached ?? next ?? (flag.takesValue ? undefined : "true")
    if (value === undefined) {
      parsed.problems.push(`flag ${argument} needs a value`)
      continue
    }
    if (typeof found === "string") {
      parsed.program.set(found, value)
      if (!flag.built) parsed.withoutEffect.add(spellFlag(flag.names[0] ?? name))
    } else if (flag.path !== undefined) {
      const prefix = next === undefined ? `${argument.split("=")[0]}=` : `${argument} `
      parsed.overrides.push(makeOverride(flag.path, "command line", prefix, value))
    }
  }
  return parsed
}

/**
 * Parses arguments (without the program's name) and environment. Flags may stand before and after the command, with
 * one dash or two; those of the configuration are checked together with the files, when the settings are loaded.
 */
export const parseArguments = (
  argv: ReadonlyArray<string>,
  environment: Readonly<Record<string, string | undefined>>
): Command => {
  if (argv[0] === "harness") return { _tag: "Harness", arguments: argv.slice(1) }
  const parsed = parseWords(argv, (command) =>
    command === "config" || command === "version" ? Object.values(commandFlags[command]).flat() : []
  )
  const { problems } = parsed
  const [command, ...rest] = parsed.words
  if (command !== undefined && !commands.includes(command) && parsed.wordsAreCertain) {
    const near = suggest(command, commands)
    problems.push(
      foreignCommands.has(command)
        ? `the command ${command} is not built yet`
        : `unknown command ${JSON.stringify(command)}${near === undefined ? "" : `; did you mean ${near}?`}`
    )
  }
  const topic = command === "help" ? rest.shift() : command
  if (rest.length > 0 && parsed.wordsAreCertain) problems.push(`unexpected argument ${JSON.stringify(rest[0])}`)

  const program = (name: ProgramFlag): string | undefined => {
    const flag: Flag = programFlags[name]
    const variable = flag.env === undefined ? undefined : environment[flag.env]
    return parsed.program.get(name) ?? (variable === "" ? undefined : variable)
  }
  const on = (name: ProgramFlag): boolean => parsed.program.get(name) === "true"
  const logFormat = program("logFormat") ?? programFlags.logFormat.default
  if (logFormat !== "text" && logFormat !== "json") {
    problems.push(`--log-format is ${JSON.stringify(logFormat)}; expected "text" or "json"`)
    return { _tag: "Invalid", problems }
  }
  if (problems.length > 0) return { _tag: "Invalid", problems }

  if (command === "help" || on("help")) {
    return { _tag: "Help", topic: topic === "config" || topic === "version" ? topic : "program" }
  }
  if (command === "version" || on("version")) {
    return { _tag: "Version", json: parsed.command.has("json") || parsed.command.has("j") }
  }
  const sources: ConfigSources = {
    file: program("config") ?? programFlags.config.default,
    fileRequired: program("config") !== undefined,
    directory: program("configDirectory") ?? programFlags.configDirectory.default,
    environment: environmentOverrides(environment),
    flags: parsed.overrides
  }
  if (command === "config") return { _tag: "Config", sources, defaults: parsed.command.has("default") }
  return {
    _tag: "Serve",
    sources,
    logFile: program("log"),
    logFormat,
    registriesConf: program("registriesConf"),
    registriesConfDirectory: program("registriesConfDirectory"),
    withoutEffect: [...parsed.withoutEffect]
  }
}
