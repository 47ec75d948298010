/** What a project has added to what is looked at. */
import { Effect } from "effect"
import type { Invariant, Site } from "../Operation.ts"

export const checkInvariants = (site: Site, after: Invariant["after"]) =>
  Effect.forEach(
    site.invariants.filter((invariant) => invariant.after === after),
    (invariant) => invariant.check(site),
    { discard: true }
  )
