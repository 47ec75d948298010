/** Streaming clients over a world: no sockets, a request goes straight to the daemon that listens. */
import { Effect, Layer } from "effect"
import { SecureRandom } from "effect/crypto"
import { StreamingServerError } from "../../../src/streaming/StreamingError.ts"
import { type IncomingRequest, StreamingTransport } from "../../../src/streaming/Transport.ts"
import type { Life } from "../World.ts"
import type { Seam } from "./Seam.ts"

type Handle = Parameters<StreamingTransport["Service"]["listen"]>[1]

const listening = new WeakMap<Life, Handle>()

/** A client comes to the streaming server of this life of the daemon; ends when the server is done with it. */
export const comeIn = (life: Life, incoming: IncomingRequest): Effect.Effect<void> =>
  Effect.suspend(() => {
    const handle = listening.get(life)
    return handle === undefined ? Effect.die("the daemon does not listen") : Effect.scoped(handle(incoming))
  })

export const streamingTransportLayer = (seam: Seam): Layer.Layer<StreamingTransport> =>
  Layer.succeed(StreamingTransport, {
    listen: ({ address, port }, handle) =>
      Effect.acquireRelease(
        seam
          .sync("StreamingTransport", "listen", `${address}:${port}`, () => {
            listening.set(seam.life, handle)
            return port === 0 ? 40_000 : port
          })
          .pipe(
            Effect.mapError(
              (cause) => new StreamingServerError({ action: `listen on ${address}`, reason: cause.message, cause })
            )
          ),
        () => seam.finalizer(() => void listening.delete(seam.life))
      )
  })

/** As unlike one another as real ones, and the same in every run. */
export const secureRandomLayer = (seed: number): Layer.Layer<SecureRandom.SecureRandom> =>
  Layer.sync(SecureRandom.SecureRandom, () => {
    let state = seed
    return SecureRandom.make((size) =>
      Uint8Array.from({ length: size }, () => {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
        return state >>> 24
      })
    )
  })
