/** A TOML tree against the option table: values of the right types, or problems that say where and what. */
import { Result } from "effect"
import { type Decoded, describeType } from "./kind/Kind.ts"
import type { Problem } from "./Problem.ts"
import { pathText, tablesWith } from "./spellings.ts"
import { suggest } from "./suggest.ts"
import type { Members } from "./table/option.ts"
import { root } from "./table/tables.ts"
import type { Place, TomlEntry, TomlNode, TomlTable } from "./toml/node.ts"
import type { Values } from "./values.ts"

/** What one source says. */
export interface Layer {
  /** Decoded values, nested as in the document below [crio]. */
  readonly values: Values
  /** Where each key and table was written, by TOML path. */
  readonly places: ReadonlyMap<string, Place>
  readonly errors: ReadonlyArray<Problem>
  readonly warnings: ReadonlyArray<Problem>
}

interface Report {
  readonly places: Map<string, Place>
  readonly errors: Array<Problem>
  readonly warnings: Array<Problem>
}

const unknownKey = (entry: TomlEntry, path: string, siblings: Iterable<string>): Problem => {
  const near = suggest(entry.key, siblings)
  const elsewhere = tablesWith(entry.key)[0]
  const suggestion = elsewhere ?? near
  return {
    at: entry.keyAt,
    text: `unknown ${entry.value.type === "table" ? "table" : "key"} ${path} is ignored`,
    ...(suggestion === undefined ? {} : { suggestion })
  }
}

const notATable = (node: TomlNode, path: string): Problem => ({
  at: node.at,
  text: `${path} has the wrong type: ${describeType(node)}`,
  expected: "a table"
})

const named = (path: string, decoded: Decoded<unknown>, report: Report): Result.Result<unknown, void> =>
  Result.mapError(decoded, (problems) => {
    for (const problem of problems) report.errors.push({ ...problem, text: `${path} ${problem.text}` })
  })

const decodeMembers = (members: Members, table: TomlTable, path: ReadonlyArray<string>, report: Report): Values => {
  const values: Array<readonly [string, unknown]> = []
  for (const entry of table.entries.values()) {
    const here = [...path, entry.key]
    const name = pathText(here)
    const member = Object.hasOwn(members, entry.key) ? members[entry.key] : undefined
    if (member === undefined) {
      report.warnings.push(unknownKey(entry, name, Object.keys(members)))
      continue
    }
    report.places.set(name, member.member === "option" ? entry.value.at : entry.keyAt)
    if (member.member === "option") {
      const decoded = named(name, member.kind.decode(entry.value), report)
      if (Result.isFailure(decoded)) continue
      values.push([entry.key, decoded.success])
      const changed = member.kind.encode(decoded.success) !== member.kind.encode(member.default)
      if (member.deprecated !== undefined && changed) {
        report.warnings.push({ at: entry.keyAt, text: `${name} is deprecated: ${member.deprecated}` })
      }
    } else if (entry.value.type !== "table") {
      report.errors.push(notATable(entry.value, name))
    } else if (member.member === "section") {
      values.push([entry.key, decodeMembers(member.members, entry.value, here, report)])
    } else {
      const entries: Array<readonly [string, unknown]> = []
      for (const item of entry.value.entries.values()) {
        const itemPath = [...here, item.key]
        report.places.set(pathText(itemPath), item.keyAt)
        if (item.value.type !== "table") report.errors.push(notATable(item.value, pathText(itemPath)))
        else if (!member.validName.test(item.key)) {
          report.errors.push({
            at: item.keyAt,
            text: `${pathText(itemPath)} has an invalid name`,
            expected: "a name of letters, digits, dots, dashes and underscores"
          })
        } else entries.push([item.key, decodeMembers(member.members, item.value, itemPath, report)])
      }
      values.push([entry.key, Object.fromEntries(entries)])
    }
  }
  return Object.fromEntries(values)
}

/** Decodes a document, whose only top-level table is [crio]. */
export const decodeDocument = (document: TomlTable): Layer => {
  const report: Report = { places: new Map(), errors: [], warnings: [] }
  let values: Values = {}
  for (const entry of document.entries.values()) {
    if (entry.key !== "crio") report.warnings.push(unknownKey(entry, pathText([entry.key]), ["crio"]))
    else if (entry.value.type !== "table") report.errors.push(notATable(entry.value, "crio"))
    else values = decodeMembers(root.members, entry.value, ["crio"], report)
  }
  return { values, ...report }
}
