/** Booleans, integers and the kinds of strings. */
import { Result } from "effect"
import { printString } from "../toml/print.ts"
import { suggest } from "../suggest.ts"
import { type Kind, textNode, wrongType, wrongValue } from "./Kind.ts"

/** The spellings that Go's strconv.ParseBool takes, which is what flags and variables accept. */
const booleans: Readonly<Record<string, boolean>> = {
  1: true,
  t: true,
  T: true,
  true: true,
  TRUE: true,
  True: true,
  0: false,
  f: false,
  F: false,
  false: false,
  FALSE: false,
  False: false
}

export const boolean: Kind<boolean> = {
  expected: "true or false",
  decode: (node) => (node.type === "boolean" ? Result.succeed(node.value) : wrongType(node, boolean.expected)),
  fromText: (text, at) => {
    const value = Object.hasOwn(booleans, text) ? booleans[text] : undefined
    return value === undefined ? textNode(text, at) : { type: "boolean", at, value }
  },
  encode: (value) => String(value)
}

export interface IntegerBounds {
  readonly min?: number
  readonly max?: number
  /** Unit of the number, for messages and the template. */
  readonly unit?: string
  /** A rule that bounds cannot express, with the words for it. */
  readonly rule?: { readonly holds: (value: number) => boolean; readonly words: string }
}

/** An integer between `min` and `max` (default: what a double holds exactly). */
export const integer = (bounds: IntegerBounds = {}): Kind<number> => {
  const min = bounds.min ?? Number.MIN_SAFE_INTEGER
  const max = bounds.max ?? Number.MAX_SAFE_INTEGER
  const unit = bounds.unit === undefined ? "" : ` (${bounds.unit})`
  const range =
    bounds.min !== undefined && bounds.max !== undefined
      ? ` from ${min} to ${max}`
      : bounds.min !== undefined
        ? ` of at least ${min}`
        : bounds.max !== undefined
          ? ` of at most ${max}`
          : ""
  const expected = `an integer${range}${bounds.rule === undefined ? "" : ` ${bounds.rule.words}`}${unit}`
  return {
    expected,
    decode: (node) => {
      if (node.type !== "integer") return wrongType(node, expected)
      const value = Number(node.value)
      const fits = Number.isSafeInteger(value) && value >= min && value <= max
      // -0 has no spelling of its own
      return fits && (bounds.rule?.holds(value) ?? true)
        ? Result.succeed(value === 0 ? 0 : value)
        : wrongValue(node, expected)
    },
    fromText: (text, at) =>
      /^[+-]?\d+$/.test(text) ? { type: "integer", at, value: BigInt(text.replace(/^\+/, "")) } : textNode(text, at),
    encode: (value) => String(value)
  }
}

/** A string for which `holds` is true. */
export const matching = (expected: string, holds: (text: string) => boolean): Kind<string> => ({
  expected,
  decode: (node) => {
    if (node.type !== "string") return wrongType(node, expected)
    return holds(node.value) ? Result.succeed(node.value) : wrongValue(node, expected)
  },
  fromText: textNode,
  encode: printString
})

export const text: Kind<string> = matching("a string", () => true)

const isAbsolute = (path: string): boolean => path.startsWith("/") && !path.includes("\0")

export const path: Kind<string> = matching("an absolute path", isAbsolute)

/** A path, or the empty string for "none" or "look it up". */
export const optionalPath: Kind<string> = matching(
  "an absolute path or an empty string",
  (value) => value === "" || isAbsolute(value)
)

/** One of a few words. */
export const oneOf = <const Words extends ReadonlyArray<string>>(...words: Words): Kind<Words[number]> => {
  const quoted = words.map((word) => JSON.stringify(word))
  const last = quoted.at(-1) ?? ""
  const expected = quoted.length < 2 ? last : `${quoted.slice(0, -1).join(", ")} or ${last}`
  const known = new Set<string>(words)
  const isKnown = (value: string): value is Words[number] => known.has(value)
  return {
    expected,
    decode: (node) => {
      if (node.type !== "string") return wrongType(node, expected)
      if (isKnown(node.value)) return Result.succeed(node.value)
      const near = suggest(node.value, words)
      return wrongValue(node, expected, near === undefined || near === "" ? undefined : JSON.stringify(near))
    },
    fromText: textNode,
    encode: printString
  }
}
