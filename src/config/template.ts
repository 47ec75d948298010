/** Writes settings as TOML that explains itself: what `cricket config` prints. */
import { defaultDocument, toDocument } from "./document.ts"
import type { Collection, Members, Option, Reload, Section } from "./table/option.ts"
import { root, type SettingsShape } from "./table/tables.ts"
import { printKey, printPath } from "./toml/print.ts"
import { defaultsOfEntry, type Values } from "./values.ts"
import { wrapWords } from "./wrap.ts"

export interface TemplateOptions {
  /** Writes every key as a setting; otherwise those with their default value are comments. */
  readonly all: boolean
}

const width = 100

const comment = (text: string): string =>
  text
    .split("\n")
    .map((line) => (line === "" ? "#" : `# ${line}`))
    .join("\n")

const prose = (text: string): string => comment(wrapWords(text, width - 2).join("\n"))

const spellFlag = (flag: string): string => (flag.length === 1 ? `-${flag}` : `--${flag}`)

const reloadNotes: Readonly<Record<Reload, string | undefined>> = {
  restart: undefined,
  signal: "reload: SIGHUP",
  watched: "reload: watched"
}

const notes = (member: Option<unknown> | Collection<Members>): ReadonlyArray<string> => {
  const parts = [
    member.flags === undefined ? undefined : `flag: ${member.flags.map(spellFlag).join(", ")}`,
    member.env === undefined ? undefined : `environment: ${member.env}`,
    reloadNotes[member.reload ?? "restart"]
  ].filter((part) => part !== undefined)
  return [
    ...(parts.length === 0 ? [] : [prose(`(${parts.join("; ")})`)]),
    ...(member.built ? [] : [prose("Not built yet: accepted without effect.")])
  ]
}

const describe = (option: Option<unknown>): ReadonlyArray<string> => [
  prose(option.doc),
  prose(`Value: ${option.kind.expected}.`),
  ...(option.deprecated === undefined ? [] : [prose(`Deprecated: ${option.deprecated}.`)]),
  ...notes(option)
]

interface Place {
  readonly path: ReadonlyArray<string>
  readonly defaults: Values
  readonly options: TemplateOptions
  /** False where the same options were explained just before. */
  readonly explain: boolean
  /** True in an example that is a comment as a whole. */
  readonly example: boolean
}

const printOption = (key: string, option: Option<unknown>, value: unknown, place: Place): string => {
  const setting = `${printKey(key)} = ${option.kind.encode(value)}`
  const usual = option.kind.encode(place.defaults[key])
  const isDefault = option.kind.encode(value) === usual
  const lines = place.explain ? [...describe(option)] : []
  if (!isDefault) lines.push(comment(`Default: ${usual}`))
  lines.push(place.example || (isDefault && !place.options.all) ? comment(setting) : setting)
  return lines.join("\n")
}

const header = (place: Place): string => {
  const text = `[${printPath(place.path)}]`
  return place.example ? comment(text) : text
}

const printSection = (section: Section<Members>, values: Values, place: Place): ReadonlyArray<string> => {
  const options: Array<string> = []
  const tables: Array<string> = []
  for (const [key, member] of Object.entries(section.members)) {
    const inner: Place = { ...place, path: [...place.path, key], defaults: place.defaults[key] as Values }
    if (member.member === "option") options.push(printOption(key, member, values[key], place))
    else if (member.member === "section") tables.push(...printSection(member, values[key] as Values, inner))
    else tables.push(...printCollection(member, values[key] as Values, inner))
  }
  const title = place.explain ? `${prose(section.doc)}\n${header(place)}` : header(place)
  const body = place.explain ? [title, ...options] : [[title, ...options].join("\n")]
  return [...body, ...tables]
}

/** Each entry as a table of its own; where there is none, an example in comments. */
const printCollection = (collection: Collection<Members>, values: Values, place: Place): ReadonlyArray<string> => {
  const names = Object.keys(values)
  const section: Section<Members> = { member: "section", doc: collection.doc, members: collection.members }
  const entries = (names.length === 0 ? ["NAME"] : names).flatMap((name, index) => {
    const defaults = defaultsOfEntry<Members>(collection, name) as Values
    const inner: Place = {
      ...place,
      path: [...place.path, name],
      defaults,
      explain: index === 0,
      example: names.length === 0
    }
    return printSection(section, (values[name] ?? defaults) as Values, inner)
  })
  const about = [prose(`Tables of the form [${printPath(place.path)}.NAME]`), ...notes(collection)]
  return [about.join("\n"), ...entries]
}

const preamble = [
  "The configuration of Cricket. Keys, flags and environment variables are those of CRI-O.",
  "Later sources win: this file, the drop-ins (*.conf) in lexical order, the environment, flags. Arrays are replaced as a whole, and so is a runtime handler that is written again.",
  'Everything is read at start. "reload" marks what CRI-O applies to a running daemon.',
  "Settings in comments show the defaults."
]

/** The whole configuration as commented TOML, which reads back as the same settings. */
export const printTemplate = (settings: SettingsShape, options: TemplateOptions): string => {
  const paragraphs = printSection(root, toDocument(settings), {
    path: ["crio"],
    defaults: defaultDocument,
    options,
    explain: true,
    example: false
  })
  return `${preamble.map(prose).join("\n#\n")}\n\n${paragraphs.join("\n\n")}\n`
}
