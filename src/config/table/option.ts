/** The building blocks of the option table: options, sections of options, and collections of named sections. */
import type { Kind } from "../kind/Kind.ts"

/** When CRI-O applies a changed value: at the next start, on SIGHUP, or as soon as a watched file changes. */
export type Reload = "restart" | "signal" | "watched"

/** How a key is spelled outside TOML. */
export interface Spelling {
  /** Flag names without dashes; a single letter is the short form. */
  readonly flags?: ReadonlyArray<string>
  /** Environment variable. */
  readonly env?: string
}

export interface OptionSpec<A> extends Spelling {
  readonly default: A
  /** For the template and the flags' help: what it does, in whole sentences. */
  readonly doc: string
  /** False: the key is accepted, but nothing in Cricket looks at it yet. */
  readonly built: boolean
  readonly reload?: Reload
  /** What to use instead, for keys that CRI-O is going to drop. */
  readonly deprecated?: string
}

export interface Option<A> extends OptionSpec<A> {
  readonly member: "option"
  readonly kind: Kind<A>
}

export interface Section<M extends Members> {
  readonly member: "section"
  readonly doc: string
  readonly members: M
}

/** Sections whose names the user chooses, such as runtime handlers. */
export interface Collection<M extends Members> extends Spelling {
  readonly member: "collection"
  readonly doc: string
  readonly built: boolean
  readonly reload?: Reload
  readonly members: M
  /** Entries that exist without being configured: their names and what differs from the members' own defaults. */
  readonly entries: { readonly [name: string]: SectionPatch<M> }
  /** What a name of an entry must look like. */
  readonly validName: RegExp
}

export type Member = Option<unknown> | Section<Members> | Collection<Members>

export interface Members {
  readonly [key: string]: Member
}

/** The type of a decoded section. */
export type SectionValue<M> = { readonly [K in keyof M]: MemberValue<M[K]> }

export type MemberValue<M> = M extends { readonly member: "option"; readonly default: infer A }
  ? A
  : M extends { readonly member: "section"; readonly members: infer S }
    ? SectionValue<S>
    : M extends { readonly member: "collection"; readonly members: infer S }
      ? { readonly [name: string]: SectionValue<S> }
      : never

/** A decoded section in which everything may be missing. */
export type SectionPatch<M> = { readonly [K in keyof M]?: MemberPatch<M[K]> }

export type MemberPatch<M> = M extends { readonly member: "option"; readonly default: infer A }
  ? A
  : M extends { readonly member: "section"; readonly members: infer S }
    ? SectionPatch<S>
    : M extends { readonly member: "collection"; readonly members: infer S }
      ? { readonly [name: string]: SectionPatch<S> }
      : never

export const option = <A>(kind: Kind<A>, spec: OptionSpec<NoInfer<A>>): Option<A> => ({
  member: "option",
  kind,
  ...spec
})

export const section = <const M extends Members>(doc: string, members: M): Section<M> => ({
  member: "section",
  doc,
  members
})

export const collection = <const M extends Members>(
  spec: Omit<Collection<M>, "member" | "members" | "entries">,
  members: M,
  entries: { readonly [name: string]: SectionPatch<NoInfer<M>> } = {}
): Collection<M> => ({ member: "collection", ...spec, members, entries })
