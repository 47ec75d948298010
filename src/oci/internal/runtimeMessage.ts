/** The message in what an OCI runtime logs: JSON lines (--log-format json), logfmt or plain text. */

interface LogLine {
  readonly error: boolean
  readonly message: string
}

const parseLine = (line: string): LogLine => {
  if (line.startsWith("{")) {
    try {
      const entry = JSON.parse(line) as { readonly level?: unknown; readonly msg?: unknown }
      if (typeof entry.msg === "string") {
        return { error: entry.level === "error" || entry.level === "fatal", message: entry.msg }
      }
    } catch {
      // Not JSON after all: taken as text.
    }
  }
  const logfmt = /\blevel=(\w+).*?\bmsg="((?:[^"\\]|\\.)*)"/.exec(line)
  if (logfmt !== null) {
    const [, level, message = ""] = logfmt
    return { error: level === "error" || level === "fatal", message: message.replaceAll(/\\(.)/g, "$1") }
  }
  return { error: true, message: line }
}

/** The last error of a log, undefined when it has none (warnings and debug lines alone). */
export const errorOfLog = (text: string): string | undefined =>
  text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .map(parseLine)
    .findLast(({ error }) => error)?.message
