/** A connection of the seam as a stream of Node's, for clients that want one. */
import { Effect, type Scope, Stream } from "effect"
import { Duplex } from "node:stream"
import type { Connection } from "../../linux/Sockets.ts"

/** Reads only while somebody wants more. Destroyed with the scope. */
export const makeDuplex = Effect.fnUntraced(function* (
  connection: Connection
): Effect.fn.Return<Duplex, never, Scope.Scope> {
  const fork = Effect.runForkWith(yield* Effect.context<never>())
  let wanted = false
  let wake = () => {}
  const duplex = new Duplex({
    read: () => {
      wanted = true
      wake()
    },
    write: (chunk: Uint8Array, _, done) => {
      fork(Effect.match(connection.write(chunk), { onFailure: done, onSuccess: () => done() }))
    },
    final: (done) => {
      fork(Effect.andThen(connection.endWrite, Effect.sync(done)))
    }
  })
  // Who uses it hears of errors by its own means.
  duplex.on("error", () => {})
  const take = (chunk: Uint8Array) =>
    Effect.suspend(() => {
      wanted = false
      if (duplex.push(chunk) || wanted) return Effect.void
      return Effect.callback<void>((resume) => {
        if (wanted) return resume(Effect.void)
        wake = () => resume(Effect.void)
      })
    })
  yield* connection.incoming.pipe(
    Stream.runForEach(take),
    Effect.match({ onFailure: (error) => void duplex.destroy(error), onSuccess: () => void duplex.push(null) }),
    Effect.forkScoped({ startImmediately: true })
  )
  yield* Effect.addFinalizer(() => Effect.sync(() => void duplex.destroy()))
  return duplex
})
