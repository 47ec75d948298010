/** TOML spellings of strings, keys, arrays and inline tables. */

const short: Readonly<Record<string, string>> = {
  "\b": "\\b",
  "\t": "\\t",
  "\n": "\\n",
  "\f": "\\f",
  "\r": "\\r",
  '"': '\\"',
  "\\": "\\\\"
}

/** A basic string on one line. Lone surrogates cannot be written in TOML and become U+FFFD. */
export const printString = (text: string): string =>
  `"${text
    .toWellFormed()
    // oxlint-disable-next-line no-control-regex -- control characters are what has to be escaped
    .replaceAll(/["\\\u0000-\u001f\u007f]/g, (character) => {
      const escape = short[character]
      return escape ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, "0").toUpperCase()}`
    })}"`

/** A bare key where TOML allows it, else a quoted one. */
export const printKey = (key: string): string => (/^[A-Za-z0-9_-]+$/.test(key) ? key : printString(key))

export const printPath = (path: ReadonlyArray<string>): string => path.map(printKey).join(".")

/** Arrays of more than a few items get a line per item. */
export const printArray = (items: ReadonlyArray<string>): string => {
  const flat = `[${items.join(", ")}]`
  return flat.length <= 80 ? flat : `[\n${items.map((item) => `  ${item},\n`).join("")}]`
}

export const printInlineTable = (entries: Iterable<readonly [string, string]>): string => {
  const fields = Array.from(entries, ([key, value]) => `${printKey(key)} = ${value}`)
  return fields.length === 0 ? "{}" : `{ ${fields.join(", ")} }`
}
