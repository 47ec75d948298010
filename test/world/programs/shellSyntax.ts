/** The language of the small command interpreter. */

export interface Piece {
  readonly text: string
  readonly separator: ";" | "&&" | "||" | "&" | "|"
}

/** Splits a script at its separators, outside quotes. */
export const split = (script: string): ReadonlyArray<Piece> => {
  const pieces: Array<Piece> = []
  let start = 0
  let quote = ""
  for (let index = 0; index <= script.length; index++) {
    const character = script[index] ?? ";"
    if (quote !== "" && index < script.length) {
      if (character === quote) quote = ""
      continue
    }
    if (character === "'" || character === '"') {
      quote = character
      continue
    }
    const two = script.slice(index, index + 2)
    const redirect = script[index - 1] === ">" || script[index - 1] === "<"
    const separator =
      two === "&&" || two === "||"
        ? two
        : "\n;|".includes(character) || (character === "&" && !redirect)
          ? character
          : ""
    if (separator === "") continue
    const text = script.slice(start, index).trim()
    if (text !== "") pieces.push({ text, separator: separator === "\n" ? ";" : (separator as Piece["separator"]) })
    index += separator.length - 1
    start = index + 1
  }
  return pieces
}

/** Words of a simple command: quotes removed, $NAME, $$, $! and $? replaced by what `variable` says. */
export const expand = (text: string, variable: (name: string) => string): Array<string> => {
  const words: Array<string> = []
  const matcher = /(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|((?:[^\s"'\\]|\\.)+))(\s*)/gy
  let current = ""
  let open = false
  for (let match = matcher.exec(text); match !== null; match = matcher.exec(text)) {
    const [, double, single, bare, space] = match
    const value = single ?? variables(double ?? bare ?? "", variable).replace(/\\(["\\$])/g, "$1")
    current += value
    open = true
    if (space !== "") {
      words.push(current)
      current = ""
      open = false
    }
  }
  if (open) words.push(current)
  return words
}

const variables = (text: string, variable: (name: string) => string): string =>
  text.replace(/\$(?:\{(\w+)\}|(\w+)|([$!?]))/g, (_, braced: string, bare: string, special: string) =>
    variable(special ?? braced ?? bare)
  )
