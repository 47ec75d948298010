/** The pod's walk where calls fail, clients leave and programs break. */
import { describe } from "@effect/vitest"
import { everyPoint } from "./support/everyPoint.ts"

describe("a pod's walk with errors", () => {
  everyPoint("fail", "retry")
  everyPoint("interrupt", "retry")
  everyPoint("cancel", "retry")
  everyPoint("exit", "retry")
  everyPoint("kill", "retry")
})
