/** TOML 1.1 text to a tree of values with places. */
import { parseDocument } from "@decimalturn/toml-patch"
import { Result } from "effect"
import type { Problem } from "../Problem.ts"
import type { Place, Source, TomlEntry, TomlNode, TomlTable } from "./node.ts"

type Block = ReturnType<typeof parseDocument>["cst"][number]
type KeyValue = Extract<Block, { value: unknown }>
type Key = KeyValue["key"]
type Value = KeyValue["value"]
type Location = Block["loc"]

interface MutableTable {
  readonly type: "table"
  readonly at: Place
  readonly entries: Map<string, MutableEntry>
}
interface MutableEntry extends TomlEntry {
  readonly value: TomlNode | MutableTable
}

/** Turns a syntax tree into values; duplicate and conflicting keys were refused before. */
class Builder {
  readonly source: Source
  readonly lines: ReadonlyArray<string>
  readonly root: MutableTable

  constructor(source: Source) {
    this.source = source
    this.lines = source.text.split("\n")
    this.root = this.table({ source, line: 1, column: 1, length: 0 })
  }

  /** The parser counts columns from 0. What spans lines is marked to the end of its first one. */
  place({ start, end }: Location): Place {
    const last = end.line === start.line ? end.column : (this.lines[start.line - 1]?.trimEnd().length ?? 0)
    return {
      source: this.source,
      line: start.line,
      column: start.column + 1,
      length: Math.max(1, last - start.column)
    }
  }

  table(at: Place): MutableTable {
    return { type: "table", at, entries: new Map() }
  }

  /** The table at a path below `from`, made where it does not exist; of an array of tables the last one. */
  descend(from: MutableTable, path: ReadonlyArray<string>, at: Place): MutableTable {
    let table = from
    for (const key of path) {
      const existing = table.entries.get(key)?.value
      const next = existing?.type === "array" ? existing.items.at(-1) : existing
      if (next?.type === "table") table = next as MutableTable
      else {
        const made = this.table(at)
        table.entries.set(key, { key, keyAt: at, value: made })
        table = made
      }
    }
    return table
  }

  assign(table: MutableTable, key: Key, value: Value): void {
    const keyAt = this.place(key.loc)
    const last = key.value.at(-1) ?? ""
    this.descend(table, key.value.slice(0, -1), keyAt).entries.set(last, { key: last, keyAt, value: this.value(value) })
  }

  append(key: Key): MutableTable {
    const at = this.place(key.loc)
    const last = key.value.at(-1) ?? ""
    const parent = this.descend(this.root, key.value.slice(0, -1), at)
    const existing = parent.entries.get(last)?.value
    const made = this.table(at)
    const items = existing?.type === "array" ? [...existing.items, made] : [made]
    parent.entries.set(last, { key: last, keyAt: at, value: { type: "array", at, items } })
    return made
  }

  value(node: Value): TomlNode {
    const at = this.place(node.loc)
    switch (node.type) {
      case "String":
        return { type: "string", at, value: node.value }
      case "Integer":
        return { type: "integer", at, value: node.value }
      case "Float":
        return { type: "float", at, value: node.value }
      case "Boolean":
        return { type: "boolean", at, value: node.value }
      case "DateTime":
        return { type: "date", at, value: node.raw }
      case "InlineArray":
        return { type: "array", at, items: node.items.map((item) => this.value(item.item as Value)) }
      default: {
        const table = this.table(at)
        for (const { item } of node.items) this.assign(table, item.key, item.value)
        return table
      }
    }
  }

  add(blocks: Iterable<Block>): TomlTable {
    for (const block of blocks) {
      if (block.type === "KeyValue") this.assign(this.root, block.key, block.value)
      else if (block.type === "Table" || block.type === "TableArray") {
        const key = block.key.item
        const table =
          block.type === "Table" ? this.descend(this.root, key.value, this.place(key.loc)) : this.append(key)
        for (const row of block.items) if (row.type === "KeyValue") this.assign(table, row.key, row.value)
      }
    }
    return this.root
  }
}

/** The parser's error carries a place beside a message of which the last line says what is wrong. */
const syntaxProblem = (source: Source, error: unknown): Problem => {
  const { message, line, column } = error as { message: string; line?: number; column?: number }
  const reason = message.split("\n").at(-1) ?? message
  return {
    at: { source, line: line ?? 1, column: (column ?? 0) + 1, length: 1 },
    text: `not valid TOML: ${reason.charAt(0).toLowerCase()}${reason.slice(1)}`
  }
}

/** Parses one source; a syntax error ends it, so there is at most one. */
export const parseToml = (source: Source): Result.Result<TomlTable, Problem> => {
  const clean: Source = { ...source, text: source.text.replace(/^\uFEFF/, "") }
  return Result.try({
    try: () => {
      const document = parseDocument(clean.text)
      // duplicate and conflicting keys are noticed only when the values are put together
      void document.toJsObject
      return new Builder(clean).add(document.cst)
    },
    catch: (error) => syntaxProblem(clean, error)
  })
}
