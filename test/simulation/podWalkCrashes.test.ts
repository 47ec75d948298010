/** The pod's walk where the daemon is stopped, dies, or loses power with its machine. */
import { describe } from "@effect/vitest"
import { everyPoint } from "./support/everyPoint.ts"

describe("a pod's walk with crashes", () => {
  everyPoint("terminate", "retry")
  everyPoint("crash", "retry")
  // After a reboot no pod runs any more: there is nothing to go on with.
  everyPoint("power", "cleanup")
})
