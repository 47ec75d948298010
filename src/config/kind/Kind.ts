/** A kind of option value: how it is read from TOML and from text, checked, and written back. */
import { Result } from "effect"
import type { Problem } from "../Problem.ts"
import type { Place, TomlNode } from "../toml/node.ts"

/** Problems found in a value carry no option name yet; the decoder puts it in front. */
export type Decoded<A> = Result.Result<A, ReadonlyArray<Problem>>

export interface Kind<A> {
  /** Completes "expected …". */
  readonly expected: string
  decode(node: TomlNode): Decoded<A>
  /** A flag's or variable's text as the TOML value it stands for; nonsense becomes a string, which `decode` refuses. */
  fromText(text: string, at: Place): TomlNode
  /** The TOML spelling. Two values are the same when their spellings are. */
  encode(value: A): string
}

const names = {
  string: "a string",
  integer: "an integer",
  float: "a decimal number",
  boolean: "a boolean",
  date: "a date",
  array: "an array",
  table: "a table"
} as const satisfies Record<TomlNode["type"], string>

export const describeType = (node: TomlNode): string => names[node.type]

export const wrongType = (node: TomlNode, expected: string): Decoded<never> =>
  Result.fail([{ at: node.at, text: `has the wrong type: ${describeType(node)}`, expected }])

export const wrongValue = (node: TomlNode, expected: string, suggestion?: string): Decoded<never> =>
  Result.fail([
    { at: node.at, text: "has an invalid value", expected, ...(suggestion === undefined ? {} : { suggestion }) }
  ])

export const textNode = (text: string, at: Place): TomlNode => ({ type: "string", at, value: text })
