/** The daemon's log: one line per event on stderr, with CRI-O's level names and spelling (logrus), secrets taken out. */
import { Cause, Layer, Logger, type LogLevel, References } from "effect"
import { redactText } from "./redact.ts"

/** Values of log_level. */
export const logLevels = ["fatal", "panic", "error", "warn", "info", "debug", "trace"] as const
export type LogLevelName = (typeof logLevels)[number]

export const logFormats = ["text", "json"] as const
export type LogFormat = (typeof logFormats)[number]

const severities: Record<LogLevelName, LogLevel.LogLevel> = {
  fatal: "Fatal",
  panic: "Fatal",
  error: "Error",
  warn: "Warn",
  info: "Info",
  debug: "Debug",
  trace: "Trace"
}

// logrus writes "warning" although its option says "warn"; log pipelines match the former.
const written: Record<LogLevel.LogLevel, string> = {
  All: "trace",
  Trace: "trace",
  Debug: "debug",
  Info: "info",
  Warn: "warning",
  Error: "error",
  Fatal: "fatal",
  None: "info"
}

const textOf = (value: unknown): string => {
  if (typeof value === "string") return value
  if (value instanceof Error) return value.message
  return typeof value === "object" && value !== null ? (JSON.stringify(value) ?? String(value)) : String(value)
}

const messageOf = ({ message }: Logger.Options<unknown>): string =>
  (Array.isArray(message) ? message : [message]).map(textOf).join(" ")

/** The fields of one line in their order: time, level, msg, annotations, cause. All are text without secrets. */
const fieldsOf = (options: Logger.Options<unknown>): Array<[string, string]> => {
  const { cause, date, fiber, logLevel } = options
  return [
    ["time", date.toISOString()],
    ["level", written[logLevel]],
    ["msg", redactText(messageOf(options))],
    ...Object.entries(fiber.getRef(References.CurrentLogAnnotations)).map(([key, value]): [string, string] => [
      key,
      redactText(textOf(value))
    ]),
    ...(cause.reasons.length === 0 ? [] : [["cause", redactText(Cause.pretty(cause))] satisfies [string, string]])
  ]
}

// What logrus leaves unquoted.
const bare = /^[A-Za-z0-9\-._/@^+]+$/

const logfmt = (fields: ReadonlyArray<readonly [string, string]>): string =>
  fields.map(([key, value]) => `${key}=${bare.test(value) ? value : JSON.stringify(value)}`).join(" ")

/** `time="…" level=info msg="…" key=value`. */
export const textLogger: Logger.Logger<unknown, string> = Logger.make((options) => logfmt(fieldsOf(options)))

/** One JSON object per line, all values strings. */
export const jsonLogger: Logger.Logger<unknown, string> = Logger.make((options) =>
  JSON.stringify(Object.fromEntries(fieldsOf(options)))
)

export interface LoggingOptions {
  readonly level: LogLevelName
  readonly format: LogFormat
  /** log_filter: only lines whose message matches are written; "", the default, writes all. */
  readonly filter?: string
  /** Takes whole lines without their line break. Default: standard error. */
  readonly write?: ((line: string) => void) | undefined
}

/** Replaces the loggers of the program and sets the least level that is written. */
export const loggingLayer = ({ level, format, filter = "", write }: LoggingOptions): Layer.Layer<never> => {
  const formatted = format === "json" ? jsonLogger : textLogger
  const written =
    write === undefined ? Logger.withConsoleError(formatted) : Logger.make((options) => write(formatted.log(options)))
  const wanted = filter === "" ? undefined : new RegExp(filter, "u")
  const filtered =
    wanted === undefined
      ? written
      : Logger.make<unknown, unknown>((options) => (wanted.test(messageOf(options)) ? written.log(options) : undefined))
  return Layer.mergeAll(Logger.layer([filtered]), Layer.succeed(References.MinimumLogLevel, severities[level]))
}
