/** Port forwarding from the client's socket to a connection in the pod, over each protocol. */
import { assert, describe, it } from "@effect/vitest"
import { type Cause, Effect, Queue, Stream } from "effect"
import { LinuxError } from "../../src/linux/LinuxError.ts"
import type { StreamRequest } from "../../src/streaming/PodSide.ts"
import { SpdyClient, Tunnel, until, WebSocketClient } from "./clients.ts"
import { startServer } from "./support.ts"

/** A program in the pod that answers what it is told in capitals; told "bye" it hangs up, told "reset" it breaks. */
const makePod = Effect.sync(() => {
  const state = { dialed: [] as Array<number>, open: 0, ended: 0 }
  const dial = (_: string, port: number) =>
    Effect.gen(function* () {
      if (port === 1)
        return yield* Effect.fail({ message: `error forwarding port ${port} to pod p: connection refused` })
      const answers = yield* Queue.unbounded<Uint8Array, LinuxError | Cause.Done>()
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          state.open++
          state.dialed.push(port)
        }),
        () =>
          Effect.sync(() => {
            state.open--
          })
      )
      return {
        incoming: Stream.fromQueue(answers),
        write: (data: Uint8Array) =>
          Effect.suspend(() => {
            const text = Buffer.from(data).toString()
            const broken = new LinuxError({ operation: "read", subject: `port ${port}`, code: "ECONNRESET" })
            if (text === "reset") return Effect.asVoid(Queue.fail(answers, broken))
            const said = Queue.offer(answers, Buffer.from(text.toUpperCase()))
            return Effect.asVoid(text === "bye" ? Effect.andThen(said, Queue.end(answers)) : said)
          }),
        endWrite: Effect.sync(() => {
          state.ended++
        })
      }
    })
  return { state, dial }
})

const request = (...ports: ReadonlyArray<number>): StreamRequest => ({ _tag: "PortForward", podId: "p", ports })

/** A pair of streams of a SPDY client, as client-go opens them: the error stream half-closed at once. */
const openPair = (client: SpdyClient, id: string, port: number) => {
  client.stream(`error ${id}`, { streamtype: "error", port: String(port), requestid: id })
  client.data(`error ${id}`, "", true)
  client.stream(`data ${id}`, { streamtype: "data", port: String(port), requestid: id })
}

const connect = (url: string) => Effect.promise(() => SpdyClient.connect(url, "portforward.k8s.io"))

const said = (client: SpdyClient, id: string, text: string) =>
  Effect.promise(() => until(`${id} says ${text}`, () => client.text(`data ${id}`) === text))

describe("over SPDY", () => {
  it.live("many connections at a time on one", () =>
    Effect.gen(function* () {
      const { state, dial } = yield* makePod
      const client = yield* connect(yield* (yield* startServer({ dial })).urlFor(request()))
      for (let index = 0; index < 20; index++) openPair(client, `r${index}`, 8000 + index)
      for (let index = 0; index < 20; index++) client.data(`data r${index}`, `hello ${index}`)
      for (let index = 0; index < 20; index++) yield* said(client, `r${index}`, `HELLO ${index}`)
      assert.deepStrictEqual(new Set(state.dialed), new Set(Array.from({ length: 20 }, (_, index) => 8000 + index)))
      client.socket.destroy()
      yield* Effect.promise(() => until("all are closed", () => state.open === 0))
    })
  )

  it.live("the pod's end is the client's, and the client has a second for its own", () =>
    Effect.gen(function* () {
      const { state, dial } = yield* makePod
      const client = yield* connect(yield* (yield* startServer({ dial })).urlFor(request()))
      openPair(client, "a", 80)
      client.data("data a", "bye")
      yield* said(client, "a", "BYE")
      yield* Effect.promise(() => until("the data stream ends", () => client.of("data a").fin))
      yield* Effect.promise(() => until("the connection is closed", () => state.open === 0))
      openPair(client, "b", 80)
      client.data("data b", "hello")
      yield* said(client, "b", "HELLO")
    })
  )

  it.live("the client's end is the pod's", () =>
    Effect.gen(function* () {
      const { state, dial } = yield* makePod
      const client = yield* connect(yield* (yield* startServer({ dial })).urlFor(request()))
      openPair(client, "a", 80)
      client.data("data a", "hello", true)
      yield* Effect.promise(() => until("the pod is told", () => state.ended === 1))
      yield* Effect.promise(() => until("the connection is closed", () => state.open === 0))
      assert.strictEqual(client.text("data a"), "HELLO")
    })
  )

  it.live("why a port cannot be reached is on the error stream, the others go on", () =>
    Effect.gen(function* () {
      const { dial } = yield* makePod
      const client = yield* connect(yield* (yield* startServer({ dial })).urlFor(request()))
      openPair(client, "good", 80)
      openPair(client, "bad", 1)
      yield* Effect.promise(() => until("the error", () => client.of("error bad").fin))
      assert.strictEqual(client.text("error bad"), "error forwarding port 1 to pod p: connection refused")
      client.data("data good", "hello")
      yield* said(client, "good", "HELLO")
    })
  )

  it.live("a connection that breaks in the pod is an error too", () =>
    Effect.gen(function* () {
      const { state, dial } = yield* makePod
      const client = yield* connect(yield* (yield* startServer({ dial })).urlFor(request()))
      openPair(client, "a", 80)
      client.data("data a", "reset")
      yield* Effect.promise(() => until("the error", () => client.of("error a").fin))
      assert.strictEqual(client.text("error a"), "error forwarding port 80 to pod p: read port 80: ECONNRESET")
      yield* Effect.promise(() => until("the connection is closed", () => state.open === 0))
    })
  )
})

describe("over a WebSocket", () => {
  it.live("v4: each port of the request has two channels, which begin with its number", () =>
    Effect.gen(function* () {
      const { state, dial } = yield* makePod
      const url = yield* (yield* startServer({ dial })).urlFor(request(8080, 1))
      const client = yield* Effect.promise(() => WebSocketClient.open(url, ["v4.channel.k8s.io"]))
      client.send(0, "hello")
      yield* Effect.promise(() => until("the answer", () => client.text(0).endsWith("HELLO")))
      yield* Effect.promise(() => until("the error", () => client.text(3).endsWith("refused")))
      const first = (channel: number) => (client.messages as Array<Buffer>).find(([number]) => number === channel)
      assert.deepStrictEqual([first(0), first(1)], [Buffer.from([0, 0x90, 0x1f]), Buffer.from([1, 0x90, 0x1f])])
      assert.deepStrictEqual([first(2), first(3)], [Buffer.from([2, 1, 0]), Buffer.from([3, 1, 0])])
      client.send(0, "bye")
      assert.strictEqual(yield* Effect.promise(() => client.end()), 1000)
      assert.strictEqual(state.open, 0)
    })
  )

  it.live("v4.base64: the same in text", () =>
    Effect.gen(function* () {
      const { dial } = yield* makePod
      const url = yield* (yield* startServer({ dial })).urlFor(request(80))
      const client = yield* Effect.promise(() => WebSocketClient.open(url, ["v4.base64.channel.k8s.io"]))
      client.socket.send(`0${Buffer.from("bye").toString("base64")}`)
      assert.strictEqual(yield* Effect.promise(() => client.end()), 1000)
      const base64 = (bytes: Uint8Array | string) => Buffer.from(bytes).toString("base64")
      const port = base64(Uint8Array.of(80, 0))
      assert.deepStrictEqual(client.messages, [`0${port}`, `1${port}`, `0${base64("BYE")}`])
    })
  )

  it.live("tunnel: SPDY in pieces of any size, closed by either side", () =>
    Effect.gen(function* () {
      const { state, dial } = yield* makePod
      const server = yield* startServer({ dial })
      const url = yield* server.urlFor(request())
      const tunnel = yield* Effect.promise(() => Tunnel.open(url))
      const client = new SpdyClient(tunnel, new Uint8Array(0))
      const whole = tunnel.write.bind(tunnel)
      tunnel.write = ((data: Buffer) => {
        for (const byte of data) whole(Uint8Array.of(byte))
        return true
      }) as typeof tunnel.write
      openPair(client, "a", 80)
      openPair(client, "b", 81)
      client.data("data a", "hello")
      yield* said(client, "a", "HELLO")
      yield* Effect.promise(() => until("both are open", () => state.open === 2))
      tunnel.close()
      yield* Effect.promise(() => until("all are closed", () => state.open === 0))
      assert.strictEqual(tunnel.closeCode, 1000)
    })
  )

  it.live("tunnel: a text message is none of it", () =>
    Effect.gen(function* () {
      const { dial } = yield* makePod
      const server = yield* startServer({ dial })
      const url = yield* server.urlFor(request())
      const tunnel = yield* Effect.promise(() => Tunnel.open(url))
      tunnel.sendText("hello")
      yield* Effect.promise(() => until("it is closed", () => tunnel.destroyed))
    })
  )
})
