/** Arrays of a kind and tables of strings. */
import { Result } from "effect"
import type { Problem } from "../Problem.ts"
import type { TomlNode } from "../toml/node.ts"
import { printArray, printInlineTable, printString } from "../toml/print.ts"
import { type Kind, textNode, wrongType } from "./Kind.ts"

/** An array; every wrong item is reported. A flag or variable lists items with commas between them. */
export const list = <A>(item: Kind<A>, words: string): Kind<ReadonlyArray<A>> => {
  const expected = `an array of ${words}`
  return {
    expected,
    decode: (node) => {
      if (node.type !== "array") return wrongType(node, expected)
      const values: Array<A> = []
      const problems: Array<Problem> = []
      for (const element of node.items) {
        const decoded = item.decode(element)
        if (Result.isSuccess(decoded)) values.push(decoded.success)
        else problems.push(...decoded.failure)
      }
      return problems.length === 0 ? Result.succeed(values) : Result.fail(problems)
    },
    fromText: (text, at) => {
      const items: Array<TomlNode> = []
      let column = at.column
      for (const part of text.split(",")) {
        const trimmed = part.trim()
        if (trimmed !== "") {
          const offset = part.length - part.trimStart().length
          items.push(item.fromText(trimmed, { ...at, column: column + offset, length: trimmed.length }))
        }
        column += part.length + 1
      }
      return { type: "array", at, items }
    },
    encode: (values) => printArray(values.map((value) => item.encode(value)))
  }
}

/** A table whose keys are free and whose values are of one kind of string. */
export const mapOf = (item: Kind<string>, words: string): Kind<{ readonly [key: string]: string }> => {
  const expected = `a table of ${words}`
  return {
    expected,
    decode: (node) => {
      if (node.type !== "table") return wrongType(node, expected)
      const values: Array<[string, string]> = []
      const problems: Array<Problem> = []
      for (const entry of node.entries.values()) {
        const decoded = item.decode(entry.value)
        if (Result.isSuccess(decoded)) values.push([entry.key, decoded.success])
        else problems.push(...decoded.failure)
      }
      // fromEntries makes own properties even of "__proto__"
      return problems.length === 0 ? Result.succeed(Object.fromEntries(values)) : Result.fail(problems)
    },
    fromText: textNode,
    encode: (values) =>
      printInlineTable(
        Object.keys(values)
          .sort()
          .map((key) => [key, printString(values[key] ?? "")] as const)
      )
  }
}
