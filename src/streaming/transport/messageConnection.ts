/** A WebSocket of the `ws` package that lets its reader set the pace. */
import { Cause, Effect, type Scope, Stream } from "effect"
import type { Socket } from "node:net"
import type { WebSocket } from "ws"
import type { Message, MessageConnection } from "../MessageConnection.ts"
import { ConnectionLost } from "../StreamingError.ts"
import { guardSocket } from "./guardedSocket.ts"

/** Bytes of messages that wait for their reader; the socket is not read while there are more. */
const maxWaitingBytes = 64 * 1024

/** What a message costs beside its bytes: empty ones must not be free. */
const messageBytes = 64

// Clients give a connection up when none of their pings is answered for a minute, and a ping behind data that nobody
// takes is not read. A pong that was not asked for counts as well (RFC 6455, 5.5.3).
const pongEvery = "15 seconds"

/** Codes of an orderly end: normal, going away, and none given. */
const orderly: ReadonlySet<number> = new Set([1000, 1001, 1005])

export const makeMessageConnection = Effect.fnUntraced(function* (
  webSocket: WebSocket,
  socket: Socket,
  idleMs: number
): Effect.fn.Return<MessageConnection, never, Scope.Scope> {
  const { failure, drained, gone, linger } = yield* guardSocket(socket, idleMs)
  const waiting: Array<{ readonly data: Buffer; readonly binary: boolean }> = []
  let waitingBytes = 0
  let reader: (() => void) | undefined
  let end: Effect.Effect<never, ConnectionLost | Cause.Done> | undefined =
    webSocket.readyState === webSocket.CLOSED
      ? Effect.fail(new ConnectionLost({ reason: "the client left after the handshake" }))
      : undefined
  let fault: ConnectionLost | undefined
  let closing = false

  webSocket.on("message", (data: Buffer, binary: boolean) => {
    waiting.push({ data, binary })
    waitingBytes += data.length + messageBytes
    if (reader !== undefined) reader()
    else if (closing) forget()
    else if (waitingBytes > maxWaitingBytes) webSocket.pause()
  })
  webSocket.on("error", (cause: Error) => {
    fault ??= new ConnectionLost({ reason: cause.message, cause })
  })
  webSocket.on("close", (code: number) => {
    const lost = () => fault ?? new ConnectionLost({ reason: `the client closed the WebSocket with code ${code}` })
    end = orderly.has(code) && fault === undefined ? Cause.done() : Effect.fail(lost())
    reader?.()
  })

  const forget = () => {
    waiting.length = 0
    waitingBytes = 0
  }
  const read = Effect.callback<Message, ConnectionLost | Cause.Done>((resume) => {
    const attempt = () => {
      const message = waiting.shift()
      if (message === undefined && end === undefined) {
        reader = attempt
        if (webSocket.isPaused) webSocket.resume()
        return
      }
      reader = undefined
      if (message === undefined) return resume(end as Effect.Effect<never, ConnectionLost | Cause.Done>)
      waitingBytes -= message.data.length + messageBytes
      resume(Effect.succeed(message.binary ? message.data : message.data.toString("utf8")))
    }
    attempt()
    return Effect.sync(() => {
      reader = undefined
    })
  })

  const send = (message: Message) =>
    Effect.suspend(() => {
      if (failure() === undefined && webSocket.readyState === webSocket.OPEN) {
        webSocket.send(message, { binary: typeof message !== "string" })
        return drained
      }
      return Effect.fail(fault ?? failure() ?? new ConnectionLost({ reason: "the WebSocket is closed" }))
    })

  const close = (code: number, reason: string) =>
    linger((flushed) => {
      closing = true
      forget()
      if (webSocket.isPaused) webSocket.resume()
      const open = webSocket.readyState === webSocket.OPEN
      webSocket.close(code, reason)
      // Behind the close frame.
      if (open) socket.write(new Uint8Array(0), flushed)
      else flushed()
    })

  yield* Effect.sleep(pongEvery).pipe(
    Effect.andThen(
      Effect.sync(() => {
        if (webSocket.isPaused && webSocket.readyState === webSocket.OPEN) webSocket.pong()
      })
    ),
    Effect.forever,
    Effect.forkScoped
  )

  return { messages: Stream.fromEffectRepeat(read), send, close, gone }
})
