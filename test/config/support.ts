import { Effect, Result } from "effect"
import { loadSettings, type ConfigSources, type LoadedSettings } from "../../src/config/load.ts"
import type { SettingsShape } from "../../src/config/Settings.ts"
import { decodeDocument } from "../../src/config/decode.ts"
import { settingsFrom, toDocument } from "../../src/config/document.ts"
import type { Members } from "../../src/config/table/option.ts"
import { root } from "../../src/config/table/tables.ts"
import { parseToml } from "../../src/config/toml/parse.ts"
import type { ConfigError } from "../../src/config/ConfigError.ts"
import type { TomlNode } from "../../src/config/toml/node.ts"
import { Files } from "../../src/linux/Files.ts"
import { LinuxError } from "../../src/linux/LinuxError.ts"

/** Files that exist only in a test: directories are implied by the paths. */
export const filesOf = (content: Readonly<Record<string, string>>): Files["Service"] => {
  const refused = (operation: string, subject: string, code: string) =>
    Effect.fail(new LinuxError({ operation, subject, code }))
  const below = (path: string) =>
    Object.keys(content)
      .filter((name) => name.startsWith(`${path}/`))
      .map((name) => name.slice(path.length + 1).split("/")[0] ?? "")
  const stat = (path: string) =>
    path in content
      ? Effect.succeed({ kind: "file" })
      : below(path).length > 0
        ? Effect.succeed({ kind: "directory" })
        : refused("stat", path, "ENOENT")
  const partial = {
    stat,
    readText: (path: string) => {
      const text = content[path]
      if (text === undefined) return refused("open", path, "ENOENT")
      return text === "EACCES" ? refused("open", path, "EACCES") : Effect.succeed(text)
    },
    readDirectory: (path: string) => Effect.succeed([...new Set(below(path))].sort())
  }
  return partial as unknown as Files["Service"]
}

export const sources = (change: Partial<ConfigSources> = {}): ConfigSources => ({
  file: "/etc/crio/crio.conf",
  fileRequired: false,
  directory: "/etc/crio/crio.conf.d",
  environment: [],
  flags: [],
  ...change
})

export const noInput = Effect.fail(new LinuxError({ operation: "read", subject: "/dev/stdin", code: "EBADF" }))

export const load = (
  content: Readonly<Record<string, string>>,
  change: Partial<ConfigSources> = {}
): Effect.Effect<LoadedSettings, ConfigError> =>
  loadSettings(sources(change), noInput).pipe(Effect.provideService(Files, filesOf(content)))

/** Settings of one text in which nothing may be wrong; deprecated keys are fine. */
export const read = (text: string): SettingsShape => {
  const document = Result.getOrThrow(parseToml({ name: "test", text, kind: "file" }))
  const { values, errors, warnings } = decodeDocument(document)
  const problems = [...errors, ...warnings].filter((problem) => !problem.text.includes("is deprecated"))
  if (problems.length > 0) throw new Error(problems.map((problem) => problem.text).join("\n"))
  return settingsFrom([values])
}

/** TOML spelling of every option by path, entries of collections included. */
export const spelled = (settings: SettingsShape): Readonly<Record<string, string>> => {
  const result: Record<string, string> = {}
  const walk = (members: Members, values: Record<string, unknown>, path: string): void => {
    for (const [key, member] of Object.entries(members)) {
      const value = values[key]
      if (member.member === "option") result[`${path}.${key}`] = member.kind.encode(value)
      else if (member.member === "section") walk(member.members, value as Record<string, unknown>, `${path}.${key}`)
      else {
        for (const [name, entry] of Object.entries(value as Record<string, Record<string, unknown>>)) {
          walk(member.members, entry, `${path}.${key}.${name}`)
        }
      }
    }
  }
  walk(root.members, toDocument(settings), "crio")
  return result
}

/** A tree as smol-toml gives it: plain values without places. */
export const plain = (node: TomlNode): unknown => {
  if (node.type === "array") return node.items.map(plain)
  if (node.type === "table") {
    return Object.fromEntries([...node.entries.values()].map((entry) => [entry.key, plain(entry.value)]))
  }
  return node.value
}
