/** What becomes of commands and attachments whose client goes away, or falls silent. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { SpdyClient, until, WebSocketClient } from "./clients.ts"
import { spdy } from "./execClients.ts"
import { attachRequest, execRequest, makeProcess, serveProcess } from "./support.ts"

describe("a client that goes away", () => {
  for (const [name, open] of [
    [
      "SPDY",
      (url: string) =>
        Effect.promise(async () => (await SpdyClient.open(url, ["error", "stdin", "stdout", "stderr"])).socket)
    ],
    [
      "WebSocket",
      (url: string) =>
        Effect.promise(async () => {
          const { socket } = await WebSocketClient.open(url, ["v5.channel.k8s.io"])
          return { pause: () => socket.pause(), destroy: () => socket.terminate() }
        })
    ]
  ] as const) {
    it.live(`${name}: the command runs on to its end, its input ends, its output is dropped`, () =>
      Effect.gen(function* () {
        const process = yield* makeProcess
        const server = yield* serveProcess(process)
        const socket = yield* open(yield* server.urlFor(execRequest))
        yield* process.stdout("seen")
        socket.destroy()
        yield* Effect.promise(() => until("the input ends", () => process.state.inputEnded))
        // More than sockets and queues hold: somebody must read.
        for (let count = 0; count < 500; count++) yield* process.stdout(new Uint8Array(65_536))
        assert.isFalse(process.state.released)
        yield* process.end(0)
        yield* Effect.promise(() => until("it is released", () => process.state.released))
      })
    )

    it.live(`${name}: an attachment is given back at once`, () =>
      Effect.gen(function* () {
        const process = yield* makeProcess
        const server = yield* serveProcess(process)
        const socket = yield* open(yield* server.urlFor(attachRequest))
        yield* process.stdout("seen")
        socket.destroy()
        yield* Effect.promise(() => until("it is released", () => process.state.released))
      })
    )

    it.live(`${name}: an attachment is given back also while output waits for the client`, () =>
      Effect.gen(function* () {
        const process = yield* makeProcess
        const server = yield* serveProcess(process)
        const socket = yield* open(yield* server.urlFor(attachRequest))
        socket.pause()
        const writing = yield* Effect.forkChild(
          Effect.forever(process.stdout(new Uint8Array(65_536)), { disableYield: false })
        )
        yield* Effect.sleep("200 millis")
        socket.destroy()
        yield* Effect.promise(() => until("it is released", () => process.state.released))
        writing.interruptUnsafe()
      })
    )
  }
})

describe("silence", () => {
  it.live("longer than the idle time-out cuts the connection, a ping is no silence", () =>
    Effect.gen(function* () {
      const process = yield* makeProcess
      const server = yield* serveProcess(process, { idleTimeoutMs: 300 })
      const client = yield* spdy(yield* server.urlFor(execRequest), "stdin", "stdout", "stderr")
      for (let id = 1; id < 12; id += 2) {
        yield* Effect.sleep("100 millis")
        client.send({ _tag: "Ping", id })
      }
      assert.isFalse(client.closed)
      yield* Effect.promise(() => until("it is cut", () => client.closed))
    })
  )
})
