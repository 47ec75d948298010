/** The process's own standard streams, for the commands that print. */
import { Effect } from "effect"
import { readFileSync, writeSync } from "node:fs"
import { LinuxError } from "./LinuxError.ts"

const refused = (operation: string, subject: string) => (cause: unknown) =>
  new LinuxError({ operation, subject, code: (cause as NodeJS.ErrnoException).code ?? "UNKNOWN", cause })

/** All of standard input, to its end. Blocks: only for commands that do nothing else meanwhile. */
export const readStandardInput: Effect.Effect<string, LinuxError> = Effect.try({
  try: () => readFileSync(0, "utf8"),
  catch: refused("read", "standard input")
})

/** Writes everything before it returns, also to a pipe whose reader is slow; a reader that left is no failure. */
const writer = (fd: number) => (text: string) =>
  Effect.sync(() => {
    const bytes = Buffer.from(text)
    for (let offset = 0; offset < bytes.length;) {
      try {
        offset += writeSync(fd, bytes, offset)
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException
        if (code === "EPIPE") return
        if (code !== "EAGAIN") throw error
      }
    }
  })

export const writeStandardOutput = writer(1)
export const writeStandardError = writer(2)
