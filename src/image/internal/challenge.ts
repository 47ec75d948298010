/** WWW-Authenticate (RFC 9110 §11.6.1) as registries use it: Basic, and Bearer with a token server (distribution spec). */

export interface Challenge {
  /** Lower case. */
  readonly scheme: string
  /** Keys in lower case. */
  readonly parameters: ReadonlyMap<string, string>
}

const token = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y
const parameter = /([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))/y
const separators = /[\s,]*/y

const take = (pattern: RegExp, text: string, at: number): RegExpExecArray | null => {
  pattern.lastIndex = at
  return pattern.exec(text)
}

/** All challenges of a header; whatever cannot be read ends the list. */
export const parseChallenges = (header: string): ReadonlyArray<Challenge> => {
  const found: Array<{ readonly scheme: string; readonly parameters: Map<string, string> }> = []
  let at = 0
  while (at < header.length) {
    at += take(separators, header, at)?.[0].length ?? 0
    const pair = take(parameter, header, at)
    const last = found.at(-1)
    if (pair !== null && last !== undefined) {
      const value = pair[2] === undefined ? (pair[3] ?? "") : pair[2].replace(/\\(.)/g, "$1")
      last.parameters.set((pair[1] ?? "").toLowerCase(), value)
      at += pair[0].length
      continue
    }
    const scheme = take(token, header, at)
    if (scheme === null) break
    found.push({ scheme: scheme[0].toLowerCase(), parameters: new Map() })
    at += scheme[0].length
  }
  return found
}
