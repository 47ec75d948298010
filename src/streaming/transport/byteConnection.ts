/** A socket as a pipe of bytes. */
import { Cause, Effect, type Scope, Stream } from "effect"
import type { Socket } from "node:net"
import type { ByteConnection } from "../Session.ts"
import { ConnectionLost } from "../StreamingError.ts"
import { guardSocket } from "./guardedSocket.ts"

export const makeByteConnection = Effect.fnUntraced(function* (
  socket: Socket,
  /** What came with the request's head. */
  head: Uint8Array,
  idleMs: number
): Effect.fn.Return<ByteConnection, never, Scope.Scope> {
  const { failure, drained, gone, linger } = yield* guardSocket(socket, idleMs)
  let reader: (() => void) | undefined
  let ended = false

  const discard = () => {
    while (socket.read() !== null);
  }
  const wake = () => {
    if (reader !== undefined) reader()
    // The kernel resets a connection that is closed with unread bytes in it, and takes ours along.
    else if (ended) discard()
  }
  if (head.length > 0) socket.unshift(head)
  // With this listener Node reads as much as its buffer holds, and no more until somebody reads from there.
  socket.on("readable", wake)
  socket.on("end", wake)
  socket.on("close", wake)

  const read = Effect.callback<Uint8Array, ConnectionLost | Cause.Done>((resume) => {
    const attempt = () => {
      const chunk: Buffer | null = socket.destroyed ? null : socket.read()
      const lost = failure()
      if (chunk !== null) settle(Effect.succeed(chunk))
      else if (socket.readableEnded) settle(Cause.done())
      else if (lost !== undefined) settle(Effect.fail(lost))
      else reader = attempt
    }
    const settle = (result: Effect.Effect<Uint8Array, ConnectionLost | Cause.Done>) => {
      reader = undefined
      resume(result)
    }
    attempt()
    return Effect.sync(() => {
      reader = undefined
    })
  })

  const write = (data: Uint8Array) =>
    Effect.suspend(() => {
      if (ended) return Effect.fail(new ConnectionLost({ reason: "it was ended" }))
      if (data.length > 0 && failure() === undefined) socket.write(data)
      return drained
    })

  const end = Effect.suspend(() => {
    ended = true
    return linger((flushed) => {
      socket.end(flushed)
      wake()
    })
  })

  return { incoming: Stream.fromEffectRepeat(read), write, end, gone }
})
