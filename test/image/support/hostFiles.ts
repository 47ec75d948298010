/** A handful of text files instead of the host's. */
import { Effect, Layer } from "effect"
import { Files } from "../../../src/linux/Files.ts"
import { LinuxError } from "../../../src/linux/LinuxError.ts"

const missing = (operation: string, subject: string) => new LinuxError({ operation, subject, code: "ENOENT" })

/** Entries may be changed while a test runs. */
export const hostFiles = (entries: Record<string, string>): Layer.Layer<Files> =>
  Layer.mock(Files, {
    readText: (path) =>
      Effect.suspend(() => {
        const text = entries[path]
        return text === undefined ? Effect.fail(missing("open", path)) : Effect.succeed(text)
      }),
    readFile: (path) =>
      Effect.suspend(() => {
        const text = entries[path]
        return text === undefined ? Effect.fail(missing("open", path)) : Effect.succeed(new TextEncoder().encode(text))
      }),
    readDirectory: (path) =>
      Effect.suspend(() => {
        const names = Object.keys(entries)
          .filter((name) => name.startsWith(`${path}/`))
          .map((name) => name.slice(path.length + 1).split("/", 1)[0] ?? "")
        return names.length === 0 ? Effect.fail(missing("opendir", path)) : Effect.succeed([...new Set(names)].sort())
      })
  })
