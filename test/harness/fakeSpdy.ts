/** SPDY's side of the streaming server that only pretends: the framing is Cricket's own, the session is the test's. */
import { Effect, Stream } from "effect"
import type { Socket } from "node:net"
import type { Forward } from "../../src/streaming/Session.ts"
import { spdyPortForward } from "../../src/streaming/spdy/portForward.ts"
import { spdyRemoteCommand } from "../../src/streaming/spdy/remoteCommand.ts"
import { makeByteConnection } from "../../src/streaming/transport/byteConnection.ts"

const creationTimeoutMs = 2000

/** What a server does for one client, whatever way that came. */
export interface Peer {
  readonly send: (channel: number, data: Buffer) => void
  /** Ends the session: how a command has ended. */
  readonly finish: (code: number) => void
}

/** What the client does. */
export interface Listener {
  readonly data: (data: Uint8Array) => void
  readonly end: () => void
  readonly gone: () => void
}

const accept = (socket: Socket, head: Uint8Array, protocol: string) => {
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: ${protocol}\r\n\r\n`
  )
  return makeByteConnection(socket, head, 0)
}

/** One after the other, though nobody waits. */
const makeQueue = () => {
  let last = Promise.resolve()
  return (effect: Effect.Effect<unknown, unknown>) => {
    last = last.then(() => Effect.runPromise(Effect.ignore(effect)))
  }
}

export const serveSpdyCommand = (
  socket: Socket,
  head: Uint8Array,
  shape: { readonly stdin: boolean; readonly tty: boolean },
  serve: (peer: Peer) => Listener
) => {
  const program = Effect.gen(function* () {
    const connection = yield* accept(socket, head, "v4.channel.k8s.io")
    const session = yield* spdyRemoteCommand(connection, {
      version: 4,
      creationTimeoutMs,
      stdin: shape.stdin,
      stdout: true,
      stderr: !shape.tty,
      terminal: shape.tty
    })
    const queue = makeQueue()
    const listener = serve({
      send: (channel, data) => queue(session.write(channel === 2 ? "stderr" : "stdout", data)),
      finish: (code) => queue(session.finish({ _tag: "Exited", code }))
    })
    yield* session.stdin.pipe(
      Stream.runForEach((data) => Effect.sync(() => listener.data(data))),
      Effect.ignore,
      Effect.andThen(Effect.sync(listener.end)),
      Effect.forkScoped({ startImmediately: true })
    )
    yield* session.gone
    listener.gone()
  })
  Effect.runFork(Effect.ignore(Effect.scoped(program)))
}

export const serveSpdyForward = (
  socket: Socket,
  head: Uint8Array,
  serve: (forward: Forward) => Effect.Effect<unknown, unknown>
) => {
  const program = Effect.gen(function* () {
    const connection = yield* accept(socket, head, "portforward.k8s.io")
    const session = yield* spdyPortForward(connection, { creationTimeoutMs })
    yield* session.forwards.pipe(Stream.runForEach((forward) => Effect.forkScoped(Effect.ignore(serve(forward)))))
  })
  Effect.runFork(Effect.ignore(Effect.scoped(program)))
}
