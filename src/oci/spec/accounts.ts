/**
 * An image's passwd(5) and group(5). Both are hostile and may have millions of lines: a lookup gives way to the daemon's
 * other work now and then, and takes apart no more of a line than it needs.
 */
import { Effect } from "effect"

export interface Accounts {
  /** Texts of the image's /etc/passwd and /etc/group; "" where there is none. */
  readonly passwd: string
  readonly group: string
}

export interface Account {
  readonly name: string
  readonly uid: number
  readonly gid: number
  readonly home: string
}

interface Group {
  readonly name: string
  readonly gid: number
  /** Names between commas. */
  readonly members: string
}

/** The kernel's ids go up to 2^32-2, Kubernetes' to here; larger ones have wrapped to root elsewhere (CVE-2024-40635). */
export const largestId = 0x7fffffff

export const parseId = (text: string | undefined): number | undefined => {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return undefined
  const id = Number(text)
  return id <= largestId ? id : undefined
}

const hasControlBytes = (text: string) => Array.from(text).some((character) => character < " " || character === "\x7f")

/** Longer ones are no path that a process could be given (PATH_MAX). */
const longestHome = 4096

const homeOf = (text: string): string =>
  text.startsWith("/") && text.length < longestHome && !hasControlBytes(text) ? text : "/"

const accountOf = (line: string): Account | undefined => {
  const [name = "", , uidText, gidText, , home = ""] = line.split(":", 6)
  const uid = parseId(uidText)
  const gid = parseId(gidText)
  return name === "" || uid === undefined || gid === undefined ? undefined : { name, uid, gid, home: homeOf(home) }
}

const groupOf = (line: string): Group | undefined => {
  const [name = "", , gidText, members = ""] = line.split(":", 4)
  const gid = parseId(gidText)
  return name === "" || gid === undefined ? undefined : { name, gid, members }
}

/** Lines between two looks at what else there is to do: less than a millisecond. */
const turn = 1000

/** What `take` makes of the lines that hold `part`, in their order, until it has `enough`. */
const linesWith = Effect.fnUntraced(function* <A>(
  text: string,
  part: string,
  take: (line: string) => A | undefined,
  enough: number
) {
  const taken: Array<A> = []
  let lines = 0
  for (let at = text.indexOf(part); at >= 0 && taken.length < enough; lines++) {
    const begin = at === 0 ? 0 : text.lastIndexOf("\n", at - 1) + 1
    const newline = text.indexOf("\n", at)
    const end = newline < 0 ? text.length : newline
    const one = take(text.slice(begin, end))
    if (one !== undefined) taken.push(one)
    at = text.indexOf(part, end + 1)
    if (lines % turn === turn - 1) yield* Effect.yieldNow
  }
  return taken
})

/** `take` of a value that passes. */
const when =
  <A>(parse: (line: string) => A | undefined, test: (one: A) => boolean) =>
  (line: string): A | undefined => {
    const one = parse(line)
    return one !== undefined && test(one) ? one : undefined
  }

const first = <A>(text: string, part: string, take: (line: string) => A | undefined): Effect.Effect<A | undefined> =>
  Effect.map(linesWith(text, part, take, 1), ([one]) => one)

/** The first with this id, which may have zeros before it. */
export const accountById = (passwd: string, uid: number) =>
  first(
    passwd,
    `${uid}:`,
    when(accountOf, (one) => one.uid === uid)
  )

export const accountNamed = (passwd: string, name: string) =>
  first(
    passwd,
    `${name}:`,
    when(accountOf, (one) => one.name === name)
  )

export const groupNamed = (group: string, name: string) =>
  first(
    group,
    `${name}:`,
    when(groupOf, (one) => one.name === name)
  )

/** The kernel's limit of groups of a process (NGROUPS_MAX). */
const mostGroups = 65_536

/** Ids of the groups that list the user. */
export const groupsWith = (group: string, user: string) =>
  Effect.map(
    linesWith(
      group,
      user,
      when(groupOf, ({ members }) => `,${members},`.includes(`,${user},`)),
      mostGroups
    ),
    (groups) => groups.map(({ gid }) => gid)
  )
