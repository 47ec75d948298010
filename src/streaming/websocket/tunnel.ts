/** SPDY through a WebSocket: its binary messages are a pipe of bytes, whose pieces mean nothing. */
import { Effect, Stream } from "effect"
import type { MessageConnection } from "../MessageConnection.ts"
import type { ByteConnection } from "../Session.ts"
import { ConnectionLost } from "../StreamingError.ts"

export const tunnel = ({ messages, send, close, gone }: MessageConnection): ByteConnection => ({
  incoming: messages.pipe(
    Stream.mapEffect((message) =>
      typeof message === "string"
        ? Effect.fail(new ConnectionLost({ reason: "the client sent a text message through the tunnel" }))
        : Effect.succeed(message)
    )
  ),
  write: send,
  end: close(1000, ""),
  gone
})
