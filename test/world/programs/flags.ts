/** Command lines as GNU and Go programs read them: --name value, --name=value, -n value. */
export interface Flags {
  readonly get: (...names: ReadonlyArray<string>) => string | undefined
  readonly all: (name: string) => ReadonlyArray<string>
  readonly has: (...names: ReadonlyArray<string>) => boolean
  readonly rest: ReadonlyArray<string>
}

/** `withValue` names the options that take a value; parsing stops at the first other word when `stopAtWord` is set. */
export const parseFlags = (args: ReadonlyArray<string>, withValue: ReadonlySet<string>, stopAtWord = false): Flags => {
  const values = new Map<string, Array<string>>()
  const rest: Array<string> = []
  const add = (name: string, value: string) => values.set(name, [...(values.get(name) ?? []), value])
  for (let index = 0; index < args.length; index++) {
    const word = args[index] as string
    if (word === "--") {
      rest.push(...args.slice(index + 1))
      break
    }
    if (!word.startsWith("-") || word === "-") {
      if (stopAtWord) {
        rest.push(...args.slice(index))
        break
      }
      rest.push(word)
      continue
    }
    const equals = word.indexOf("=")
    const name = equals < 0 ? word : word.slice(0, equals)
    if (equals >= 0) add(name, word.slice(equals + 1))
    else if (withValue.has(name)) add(name, args[++index] ?? "")
    else add(name, "")
  }
  return {
    get: (...names) => names.map((name) => values.get(name)?.at(-1)).find((value) => value !== undefined),
    all: (name) => values.get(name) ?? [],
    has: (...names) => names.some((name) => values.has(name)),
    rest
  }
}
