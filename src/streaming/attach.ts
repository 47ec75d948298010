/** A client at the streams of a container's first process. */
import { Effect } from "effect"
import type { AttachStream, PodSide } from "./PodSide.ts"
import { relayInput, relayOutput, sizesOf } from "./relay.ts"
import type { Session } from "./Session.ts"

/** Until the container ends, or the client goes: then all that the attachment holds is given back at once. */
export const serveAttach = Effect.fn("streaming.attach")(function* (
  session: Session,
  request: AttachStream,
  podSide: PodSide
) {
  const untilEnd = Effect.gen(function* () {
    const attached = yield* podSide.attach(request)
    yield* Effect.addFinalizer(() =>
      Effect.flatMap(attached.dropped, (bytes) =>
        bytes === 0
          ? Effect.void
          : Effect.logInfo(`an attached client was too slow: ${bytes} bytes of output were dropped for it`)
      )
    )
    yield* (yield* sizesOf(session, request.terminal)).follow(attached)
    yield* relayInput(session, attached)
    yield* relayOutput(session, attached)
    yield* attached.ended
  })
  const whole = untilEnd.pipe(
    Effect.scoped,
    Effect.matchEffect({
      onSuccess: () => session.finish({ _tag: "Ended" }),
      onFailure: ({ message }) =>
        Effect.andThen(Effect.logInfo(`attach failed: ${message}`), session.finish({ _tag: "Failed", message }))
    })
  )
  yield* Effect.raceFirst(whole, session.gone)
})
