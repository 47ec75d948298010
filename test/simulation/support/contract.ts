/** What every answer has to be, whatever has gone wrong before it: a violation is a defect that no fault excuses. */
import { Effect } from "effect"
import { isDeepStrictEqual } from "node:util"
import type { World } from "../../world/World.ts"

/** The world of the run; there is none before it begins. */
export type WorldOf = () => World

/** Characters of a message in a finding. */
const enough = 300

const shown = (seen: unknown): string => {
  const text = JSON.stringify(seen, (_key, value: unknown) => (typeof value === "bigint" ? `${value}` : value)) ?? ""
  return text.length > enough ? `${text.slice(0, enough)}…` : text
}

export const must = (rule: string, holds: boolean, seen?: unknown): Effect.Effect<void> =>
  holds ? Effect.void : Effect.die(new Error(`against the contract: ${rule}, but: ${shown(seen)}`))

export const mustEqual = (what: string, seen: unknown, wanted: unknown): Effect.Effect<void> =>
  must(`${what} is ${shown(wanted)}`, isDeepStrictEqual(seen, wanted), seen)

/** A list that names exactly these: neither half of what there is nor what nobody was told of. */
export const mustList = <A>(list: string, seen: ReadonlyArray<A>, nameOf: (item: A) => string, wanted: string) =>
  mustEqual(`what ${list} lists`, seen.map(nameOf), [wanted])
