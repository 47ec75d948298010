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

/** The fields of one line in their order: time, level, msg, annotations, cause. All are text without secrets. */
const fieldsOf = ({ cause, date, fiber, logLevel, message }: Logger.Options<unknown>): Array<[string, string]> => {
  const parts = Array.isArray(message) ? message : [message]
  return [
    ["time", date.toISOString()],
    ["level", written[logLevel]],
    ["msg", redactText(parts.map(textOf).join(" "))],
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

/** Replaces the loggers of the program and sets the least level that is written. */
export const loggingLayer = (options: {
  readonly level: LogLevelName
  readonly format: LogFormat
}): Layer.Layer<never> =>
  Layer.mergeAll(
    Logger.layer([Logger.withConsoleError(options.format === "json" ? jsonLogger : textLogger)]),
    Layer.succeed(References.MinimumLogLevel, severities[options.level])
  )
