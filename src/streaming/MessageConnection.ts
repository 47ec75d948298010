/** A WebSocket as what its users need of it. */
import type { Effect, Stream } from "effect"
import type { ConnectionLost } from "./StreamingError.ts"

/** A text or a binary message, whole. */
export type Message = string | Uint8Array

export interface MessageConnection {
  /**
   * Ends when the client closes in order. For one reader; the client is held back while nobody pulls, and kept from
   * giving up meanwhile.
   */
  readonly messages: Stream.Stream<Message, ConnectionLost>
  /** Waits until the client has taken enough. */
  readonly send: (message: Message) => Effect.Effect<void, ConnectionLost>
  /** After everything that was sent. 1000 is the normal end; `reason` has at most 123 bytes. */
  readonly close: (code: 1000 | 1002 | 1003, reason: string) => Effect.Effect<void>
  /** Completes when the connection is closed for good, by whomever. */
  readonly gone: Effect.Effect<void>
}
