/** A command in a container with a client at its streams. */
import { Effect } from "effect"
import type { ExecStream, PodSide } from "./PodSide.ts"
import { relayInput, relayOutput, sizesOf } from "./relay.ts"
import type { Session } from "./Session.ts"

/**
 * The status follows everything that the command and what it started have written. A client that goes away ends the
 * command's input and nothing else: it runs on to its own end, and its output is dropped. With a terminal, whose input has
 * no end, it hangs up.
 */
export const serveExec = Effect.fn("streaming.exec")(
  function* (session: Session, request: ExecStream, podSide: PodSide) {
    const sizes = yield* sizesOf(session, request.terminal)
    const size = yield* sizes.first
    const command = yield* podSide.exec(request, size)
    yield* sizes.follow(command)
    yield* relayInput(session, command)
    if (request.terminal) {
      yield* session.gone.pipe(Effect.andThen(command.hangUp), Effect.forkScoped({ startImmediately: true }))
    }
    yield* relayOutput(session, command)
    return yield* command.exit
  },
  (self, session) =>
    self.pipe(
      Effect.scoped,
      Effect.matchEffect({
        onSuccess: (code) => session.finish({ _tag: "Exited", code }),
        onFailure: ({ message }) =>
          Effect.andThen(Effect.logInfo(`exec failed: ${message}`), session.finish({ _tag: "Failed", message }))
      })
    )
)
