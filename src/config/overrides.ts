/** Environment variables and flags, turned into the TOML that they stand for. */
import type { Problem } from "./Problem.ts"
import { decodeDocument, type Layer } from "./decode.ts"
import { allKeys, pathText } from "./spellings.ts"
import type { Place, TomlNode, TomlTable } from "./toml/node.ts"

/** One option given as text. Several for one list add up; of several for a single value the last counts. */
export interface Override {
  readonly path: ReadonlyArray<string>
  readonly text: string
  /** Where the text is, in a source that consists of the variable or flag alone. */
  readonly at: Place
}

export const makeOverride = (
  path: ReadonlyArray<string>,
  origin: "environment" | "command line",
  prefix: string,
  text: string
): Override => ({
  path,
  text,
  at: {
    source: { name: origin, kind: "whole", text: `${prefix}${text}` },
    line: 1,
    column: prefix.length + 1,
    length: Math.max(1, text.length)
  }
})

/** The variables of the option table that are set and not empty. */
export const environmentOverrides = (
  environment: Readonly<Record<string, string | undefined>>
): ReadonlyArray<Override> =>
  allKeys.flatMap(({ path, member }) => {
    const text = member.env === undefined ? undefined : environment[member.env]
    return text === undefined || text === "" ? [] : [makeOverride(path, "environment", `${member.env}=`, text)]
  })

const table = (at: Place, entries: ReadonlyArray<readonly [string, TomlNode]>): TomlTable => ({
  type: "table",
  at,
  entries: new Map(entries.map(([key, value]) => [key, { key, keyAt: value.at, value }]))
})

const handlerFields = [
  "runtime_path",
  "runtime_root",
  "runtime_type",
  "privileged_without_host_devices",
  "runtime_config_path",
  "container_min_memory"
] as const

/** `name:path:root[:type[:privileged_without_host_devices[:config_path[:container_min_memory]]]]`, as CRI-O spells handlers in a flag. */
const handlers = (override: Override, problems: Array<Problem>): TomlNode => {
  const { at } = override
  const parsed = override.text.split(",").flatMap((text): ReadonlyArray<readonly [string, TomlNode]> => {
    const [name = "", ...fields] = text.trim().split(":")
    if (fields.length < 2 || fields.length > handlerFields.length) {
      problems.push({
        at,
        text: "crio.runtime.runtimes has an invalid value",
        expected: `"NAME:PATH:ROOT", optionally followed by ":" and ${handlerFields.slice(2).join(", ")}`
      })
      return []
    }
    const entries = fields.flatMap((field, index): ReadonlyArray<readonly [string, TomlNode]> => {
      const key = handlerFields[index]
      if (key === undefined || field === "") return []
      const value: TomlNode =
        key === "privileged_without_host_devices" && (field === "true" || field === "false")
          ? { type: "boolean", at, value: field === "true" }
          : { type: "string", at, value: field }
      return [[key, value]]
    })
    return [[name, table(at, entries)]]
  })
  return table(at, parsed)
}

/** What a repeated flag adds up to. */
const combine = (earlier: TomlNode | undefined, later: TomlNode): TomlNode => {
  if (earlier?.type === "array" && later.type === "array") {
    return { ...later, items: [...earlier.items, ...later.items] }
  }
  if (earlier?.type === "table" && later.type === "table") {
    return { ...later, entries: new Map([...earlier.entries, ...later.entries]) }
  }
  return later
}

const nest = (path: ReadonlyArray<string>, value: TomlNode, into: TomlTable | undefined): TomlTable => {
  const [key = "", ...rest] = path
  const base = into ?? table(value.at, [])
  const existing = base.entries.get(key)?.value
  const inner = rest.length === 0 ? value : nest(rest, value, existing?.type === "table" ? existing : undefined)
  return { ...base, entries: new Map([...base.entries, [key, { key, keyAt: value.at, value: inner }]]) }
}

const members = new Map(allKeys.map(({ path, member }) => [pathText(path), member]))

/** Decodes overrides of one origin, so that a list given by flags replaces the list given by a variable. */
export const decodeOverrides = (overrides: ReadonlyArray<Override>): Layer => {
  const problems: Array<Problem> = []
  const values = new Map<string, { readonly path: ReadonlyArray<string>; readonly value: TomlNode }>()
  for (const override of overrides) {
    const name = pathText(override.path)
    const member = members.get(name)
    if (member === undefined) continue
    const value =
      member.member === "option" ? member.kind.fromText(override.text, override.at) : handlers(override, problems)
    values.set(name, { path: override.path, value: combine(values.get(name)?.value, value) })
  }
  let document: TomlTable | undefined
  for (const { path, value } of values.values()) document = nest(path, value, document)
  if (document === undefined) return { values: {}, places: new Map(), errors: problems, warnings: [] }
  const layer = decodeDocument(document)
  return { ...layer, errors: [...problems, ...layer.errors] }
}
