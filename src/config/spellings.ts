/** Every option of the table with its TOML path, for whatever has to look at all of them. */
import type { Collection, Member, Members, Option } from "./table/option.ts"
import { root } from "./table/tables.ts"

export interface Spelled<M> {
  /** TOML path from the top, `*` for the free names of a collection. */
  readonly path: ReadonlyArray<string>
  readonly member: M
}

const walk = (members: Members, path: ReadonlyArray<string>): ReadonlyArray<Spelled<Member>> =>
  Object.entries(members).flatMap(([key, member]): ReadonlyArray<Spelled<Member>> => {
    const own = { path: [...path, key], member }
    if (member.member === "option") return [own]
    if (member.member === "section") return walk(member.members, own.path)
    return [own, ...walk(member.members, [...own.path, "*"])]
  })

/** Options and collections: the 158 keys. */
export const allKeys = walk(root.members, ["crio"]) as ReadonlyArray<Spelled<Option<unknown> | Collection<Members>>>

/** A path as people read it. */
export const pathText = (path: ReadonlyArray<string>): string => path.join(".")

/** Tables in which a key of this name exists: for keys written into the wrong one. */
export const tablesWith = (key: string): ReadonlyArray<string> =>
  allKeys.filter(({ path }) => path.at(-1) === key).map(({ path }) => pathText(path))
