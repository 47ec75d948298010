/** Decoded sections as plain objects: defaults, and one set of values laid over another. */
import type { Collection, Members, SectionPatch, SectionValue } from "./table/option.ts"

/** The untyped view inside this folder; the table's types hold outside. */
export interface Values {
  readonly [key: string]: unknown
}

const asValues = (value: unknown): Values =>
  typeof value === "object" && value !== null ? (value as Values) : Object.create(null)

/** The values of an entry of a collection for which nothing is configured. */
const entryDefaults = (collection: Collection<Members>, name: string): Values =>
  overlayValues(
    collection.members,
    defaultValues(collection.members),
    asValues(Object.hasOwn(collection.entries, name) ? collection.entries[name] : undefined)
  )

const defaultValues = (members: Members): Values => {
  const values: Array<readonly [string, unknown]> = Object.entries(members).map(([key, member]) => {
    if (member.member === "option") return [key, member.default]
    if (member.member === "section") return [key, defaultValues(member.members)]
    return [key, Object.fromEntries(Object.keys(member.entries).map((name) => [name, entryDefaults(member, name)]))]
  })
  return Object.fromEntries(values)
}

/**
 * Lays `patch` over `base`: options are replaced, sections go key by key, and an entry of a collection replaces the
 * whole entry of that name (what it leaves out has the entry's defaults), which is how CRI-O reads handlers.
 */
const overlayValues = (members: Members, base: Values, patch: Values): Values => {
  const result: Record<string, unknown> = { ...base }
  for (const [key, member] of Object.entries(members)) {
    if (!Object.hasOwn(patch, key)) continue
    if (member.member === "option") result[key] = patch[key]
    else if (member.member === "section") {
      result[key] = overlayValues(member.members, asValues(base[key]), asValues(patch[key]))
    } else {
      const entries = Object.entries(asValues(patch[key])).map(
        ([name, entry]) => [name, overlayValues(member.members, entryDefaults(member, name), asValues(entry))] as const
      )
      result[key] = { ...asValues(base[key]), ...Object.fromEntries(entries) }
    }
  }
  return result
}

export const defaultsOf = <M extends Members>(members: M): SectionValue<M> => defaultValues(members) as SectionValue<M>

export const overlay = <M extends Members>(
  members: M,
  base: SectionValue<M>,
  patch: SectionPatch<M>
): SectionValue<M> => overlayValues(members, asValues(base), asValues(patch)) as SectionValue<M>

/** The values of an entry of a collection when its table is there but empty. */
export const defaultsOfEntry = <M extends Members>(collection: Collection<M>, name: string): SectionValue<M> =>
  entryDefaults(collection as Collection<Members>, name) as SectionValue<M>
