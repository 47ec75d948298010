/** Whoever does not read holds up only the other end of its stream. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { SpdyClient, until, WebSocketClient } from "./clients.ts"
import { spdy, success, webSocket } from "./execClients.ts"
import { execRequest, makeProcess, serveProcess } from "./support.ts"

/** Until a number does not change any more. */
const settled = (count: () => number) =>
  Effect.promise(async () => {
    let since = Date.now()
    let last = count()
    await until("it settles", () => {
      if (count() !== last) since = Date.now()
      last = count()
      return Date.now() - since > 700
    })
  })

describe("a client that does not read", () => {
  it.live("holds its command back, and gets everything once it reads", () =>
    Effect.gen(function* () {
      const process = yield* makeProcess
      const server = yield* serveProcess(process)
      const client = yield* spdy(yield* server.urlFor({ ...execRequest, stdin: false }), "stdout", "stderr")
      client.socket.pause()
      const [pieces, piece] = [1000, new Uint8Array(65_536)]
      let written = 0
      const writing = Effect.gen(function* () {
        while (written < pieces) {
          yield* process.stdout(piece)
          written++
        }
        yield* process.end(0)
      })
      yield* Effect.forkChild(writing, { startImmediately: true })
      yield* settled(() => written)
      assert.isBelow(written, pieces / 2)
      client.socket.resume()
      assert.strictEqual(yield* Effect.promise(() => client.status()), success)
      assert.strictEqual(client.text("stdout").length, pieces * piece.length)
    })
  )

  it.live("and says so by v5's CLOSE, has the rest dropped", () =>
    Effect.gen(function* () {
      const process = yield* makeProcess
      const server = yield* serveProcess(process)
      const client = yield* webSocket(yield* server.urlFor(execRequest), "v5.channel.k8s.io")
      client.socket.send(Uint8Array.of(255, 1))
      client.send(0, "and then")
      yield* Effect.promise(() => until("the input", () => process.state.input === "and then"))
      yield* process.stdout("unwanted")
      yield* process.stderr("wanted")
      yield* process.end(0)
      assert.strictEqual(yield* Effect.promise(() => client.end()), 1000)
      assert.deepStrictEqual([client.text(1), client.text(2), client.text(3)], ["", "wanted", success])
    })
  )
})

describe("a process that does not read", () => {
  for (const [name, open] of [
    [
      "SPDY",
      async (url: string) => {
        const client = await SpdyClient.open(url, ["error", "stdin", "stdout", "stderr"])
        return {
          send: (data: Uint8Array) => void client.data("stdin", data),
          waiting: () => client.socket.writableLength,
          status: () => client.status()
        }
      }
    ],
    [
      "WebSocket",
      async (url: string) => {
        const client = await WebSocketClient.open(url, ["v5.channel.k8s.io"])
        return {
          send: (data: Uint8Array) => client.send(0, data),
          waiting: () => client.socket.bufferedAmount,
          status: async () => {
            await client.end()
            return client.text(3)
          }
        }
      }
    ]
  ] as const) {
    it.live(`${name}: holds its client back, and ends as ever`, () =>
      Effect.gen(function* () {
        const process = yield* makeProcess
        process.state.stuck = true
        const server = yield* serveProcess(process)
        const url = yield* server.urlFor(execRequest)
        const client = yield* Effect.promise(() => open(url))
        const mib = new Uint8Array(1024 * 1024)
        for (let count = 0; count < 64; count++) client.send(mib)
        yield* settled(client.waiting)
        assert.isAbove(client.waiting(), 40 * mib.length)
        yield* process.end(0)
        assert.strictEqual(yield* Effect.promise(client.status), success)
      })
    )
  }

  it.live("has its client's input dropped, and ends as ever", () =>
    Effect.gen(function* () {
      const process = yield* makeProcess
      process.state.reads = false
      const server = yield* serveProcess(process)
      const client = yield* spdy(yield* server.urlFor(execRequest), "stdin", "stdout", "stderr")
      for (let count = 0; count < 200; count++) client.data("stdin", new Uint8Array(32_768))
      yield* Effect.promise(() => until("all is taken", () => client.socket.writableLength === 0))
      yield* process.end(0)
      assert.strictEqual(yield* Effect.promise(() => client.status()), success)
    })
  )
})
