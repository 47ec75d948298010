/** The streams of a process and those of its client, joined. */
import { Effect, type Scope, Stream } from "effect"
import type { LinuxError } from "../linux/LinuxError.ts"
import type { ProcessStreams } from "../pod/ProcessStreams.ts"
import type { OutputChannel, Session } from "./Session.ts"

/** Until the scope closes. The process's input ends with the client's, and with the client. */
export const relayInput = Effect.fnUntraced(function* (
  session: Session,
  process: ProcessStreams
): Effect.fn.Return<void, never, Scope.Scope> {
  yield* session.stdin.pipe(
    Stream.runForEach(process.write),
    Effect.catchTags({ LinuxError: () => session.closeStdin, ConnectionLost: () => Effect.void }),
    Effect.andThen(process.closeStdin),
    Effect.forkScoped({ startImmediately: true })
  )
  yield* session.resizes.pipe(Stream.runForEach(process.resize), Effect.ignore, Effect.forkScoped)
})

/**
 * Everything that the process writes, until it writes no more. It waits for a client that is slow, but for nobody once
 * the client is gone: what it writes then is dropped.
 */
export const relayOutput = (session: Session, process: ProcessStreams): Effect.Effect<void> => {
  const relay = (channel: OutputChannel, output: Stream.Stream<Uint8Array, LinuxError>) => {
    let lost = false
    const lose = () =>
      Effect.sync(() => {
        lost = true
      })
    return output.pipe(
      Stream.runForEach((data) => (lost ? Effect.void : Effect.catch(session.write(channel, data), lose))),
      Effect.catch(({ message }) => Effect.logWarning(`the rest of ${channel} is lost: ${message}`))
    )
  }
  return Effect.all([relay("stdout", process.stdout), relay("stderr", process.stderr)], {
    concurrency: "unbounded",
    discard: true
  })
}
