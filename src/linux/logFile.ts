/** The daemon's log as a file. */
import { Effect, type Scope } from "effect"
import { closeSync, openSync, writeSync } from "node:fs"
import { LinuxError } from "./LinuxError.ts"

const failed = (path: string) => (cause: unknown) =>
  new LinuxError({ operation: "open", subject: path, code: (cause as NodeJS.ErrnoException).code ?? "UNKNOWN", cause })

/**
 * Opens the log for appending (0640, made if missing) and gives what writes a line to it. Each line is one write, so
 * that a rotation which copies and truncates loses none; a line that a full disk refuses is dropped.
 */
export const openLogFile = (path: string): Effect.Effect<(line: string) => void, LinuxError, Scope.Scope> =>
  Effect.acquireRelease(Effect.try({ try: () => openSync(path, "a", 0o640), catch: failed(path) }), (fd) =>
    Effect.sync(() => closeSync(fd))
  ).pipe(
    Effect.map((fd) => (line: string) => {
      try {
        writeSync(fd, `${line}\n`)
      } catch {
        // There is nowhere left to say it.
      }
    })
  )
