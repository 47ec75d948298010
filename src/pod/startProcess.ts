/** Lets a created process go, and notices when it has ended before it could be. */
import { Duration, Effect } from "effect"
import { Processes, type ProcessIdentity } from "../linux/Processes.ts"
import { OciRuntime } from "../oci/OciRuntime.ts"
import type { RuntimeHandler } from "../oci/RuntimeHandlers.ts"
import { StepFailed } from "./PodError.ts"

/** A runtime that needs no longer is not watched. */
const unwatched = Duration.seconds(1)

/** A runtime may take so long to answer for a process that has ended: hooks run after the start. */
const patience = Duration.seconds(10)

/** After this an end that a start has yet to be answered for is the answer. */
export const startPatience = Duration.sum(patience, Duration.seconds(2))

/** crun waits for ever for the process to take its start, also when it has died meanwhile. */
export const startProcess = Effect.fn("startProcess")(function* (
  handler: RuntimeHandler,
  containerId: string,
  init: ProcessIdentity
) {
  const runtime = yield* OciRuntime
  const processes = yield* Processes
  const ended = Effect.gen(function* () {
    yield* Effect.sleep(unwatched)
    yield* processes.awaitEnd(init)
    yield* Effect.sleep(patience)
    const cause = new Error(`process ${init.pid} has ended, and ${handler.name} has not answered for its start`)
    return yield* new StepFailed({ object: `container ${containerId}`, step: "start", cause })
  })
  yield* Effect.raceFirst(runtime.start(handler, containerId), ended)
})
