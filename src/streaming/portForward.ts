/** Connections of a client to ports of a pod, as many as it opens. */
import { Effect, Fiber, Stream } from "effect"
import type { Connection } from "../linux/Sockets.ts"
import type { Failure, PodSide, PortForwardStream } from "./PodSide.ts"
import type { Forward, PortForwardSession } from "./Session.ts"

/** What the other direction may still say once one has ended. */
const lastWords = "1 second"

/** Both directions at once; a failure of either ends both. */
const join = Effect.fnUntraced(function* (forward: Forward, connection: Connection) {
  const toPod = forward.incoming.pipe(Stream.runForEach(connection.write), Effect.andThen(connection.endWrite))
  const toClient = connection.incoming.pipe(Stream.runForEach(forward.write), Effect.andThen(forward.endWrite))
  const up = yield* Effect.forkChild(toPod, { startImmediately: true })
  const down = yield* Effect.forkChild(toClient, { startImmediately: true })
  yield* Effect.raceFirst(Fiber.join(up), Fiber.join(down))
  yield* Effect.timeoutOption(Fiber.joinAll([up, down]), lastWords)
})

const serveForward = Effect.fnUntraced(
  function* (forward: Forward, podId: string, podSide: PodSide) {
    const connection = yield* podSide.dial(podId, forward.port)
    yield* join(forward, connection).pipe(
      Effect.catchTag("ConnectionLost", () => Effect.void),
      Effect.mapError(({ message }): Failure => ({
        message: `error forwarding port ${forward.port} to pod ${podId}: ${message}`
      }))
    )
    yield* forward.close
  },
  (self, forward) =>
    self.pipe(
      Effect.scoped,
      Effect.catch(({ message }) => Effect.andThen(Effect.logInfo(message), forward.fail(message)))
    )
)

/** Until the client goes, or closes the last of the streams that it may open. */
export const servePortForward = Effect.fn("streaming.portForward")(function* (
  session: PortForwardSession,
  { podId }: PortForwardStream,
  podSide: PodSide
) {
  const whole = session.forwards.pipe(
    Stream.mapEffect((forward) => serveForward(forward, podId, podSide), { concurrency: "unbounded", unordered: true }),
    Stream.runDrain,
    Effect.catchTag("ConnectionLost", () => Effect.void),
    Effect.andThen(session.close)
  )
  yield* Effect.raceFirst(whole, session.gone)
})
