/** The HTTP side of the streaming server: tokens in paths, negotiation, limits. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { connect, type Socket } from "node:net"
import { maxConnections } from "../../src/streaming/limits.ts"
import { ask, spdyHeaders, SpdyClient, until, WebSocketClient } from "./clients.ts"
import { attachRequest, execRequest, makeProcess, serveProcess, startServer } from "./support.ts"

/** A connection as bytes, with all that came back on it. */
const raw = async (url: string, bytes: string) => {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  let received = ""
  let closed = false
  socket.on("data", (data) => (received += data.toString("latin1")))
  socket.on("error", () => {})
  socket.on("close", () => (closed = true))
  socket.write(bytes)
  await until("the server closes", () => closed)
  return received
}

describe("URLs", () => {
  it.live("are absolute, with the port that was free", () =>
    Effect.gen(function* () {
      const server = yield* startServer({})
      const exec = yield* server.urlFor(execRequest)
      assert.match(exec, /^http:\/\/127\.0\.0\.1:[1-9]\d+\/exec\/[A-Za-z0-9_-]{22}$/)
      assert.match(yield* server.urlFor(attachRequest), /\/attach\/[A-Za-z0-9_-]{22}$/)
      const forward = yield* server.urlFor({ _tag: "PortForward", podId: "p", ports: [] })
      assert.match(forward, /\/portforward\/[A-Za-z0-9_-]{22}$/)
    })
  )

  it.live("have IPv6 addresses in brackets, and the host's own for every address", () =>
    Effect.gen(function* () {
      assert.match(yield* (yield* startServer({}, { address: "::1" })).urlFor(execRequest), /^http:\/\/\[::1\]:\d+\//)
      assert.match(yield* (yield* startServer({}, { address: "::" })).urlFor(execRequest), /^http:\/\/\[::1\]:\d+\//)
      const all = yield* startServer({}, { address: "0.0.0.0" })
      assert.match(yield* all.urlFor(execRequest), /^http:\/\/127\.0\.0\.1:\d+\//)
    })
  )

  it.live("a port that another has is a failure that says so", () =>
    Effect.gen(function* () {
      const { port } = new URL(yield* (yield* startServer({})).urlFor(execRequest))
      const failure = yield* Effect.flip(startServer({}, { port: Number(port) }))
      assert.match(failure.message, new RegExp(`cannot listen on 127\\.0\\.0\\.1:${port}: .*EADDRINUSE`))
    })
  )
})

describe("requests", () => {
  it.live("without a token that is good are not found, whatever else is wrong with them", () =>
    Effect.gen(function* () {
      const server = yield* startServer({})
      const url = yield* server.urlFor(execRequest)
      const base = new URL(url).origin
      const other = url.replace("/exec/", "/attach/")
      const targets = [`${base}/`, `${base}/exec/AAAAAAAAAAAAAAAAAAAAAA`, other, url]
      const answers = yield* Effect.promise(() =>
        Promise.all(targets.map((target) => ask(target, spdyHeaders("v4.channel.k8s.io")).then(({ status }) => status)))
      )
      // A token at the wrong place is spent too.
      assert.deepStrictEqual(answers, [404, 404, 404, 404])
      const plain = yield* Effect.promise(() => ask(`${base}/exec/AAAAAAAAAAAAAAAAAAAAAA`, {}))
      assert.strictEqual(plain.status, 404)
    })
  )

  it.live("of another method do not spend the token", () =>
    Effect.gen(function* () {
      const server = yield* serveProcess(yield* makeProcess)
      const url = yield* server.urlFor(execRequest)
      const answer = yield* Effect.promise(() => ask(url, spdyHeaders("v4.channel.k8s.io"), { method: "PUT" }))
      assert.deepStrictEqual([answer.status, answer.headers.allow], [405, "GET, POST"])
      yield* Effect.promise(() => SpdyClient.open(url, ["error", "stdin", "stdout", "stderr"]))
    })
  )

  it.live("spend the token, however they end", () =>
    Effect.gen(function* () {
      const server = yield* startServer({})
      const url = yield* server.urlFor(execRequest)
      assert.strictEqual((yield* Effect.promise(() => ask(url, {}))).status, 400)
      assert.strictEqual((yield* Effect.promise(() => ask(url, spdyHeaders("v4.channel.k8s.io")))).status, 404)
    })
  )

  it.live("for SPDY are answered as clients know it", () =>
    Effect.gen(function* () {
      const server = yield* serveProcess(yield* makeProcess)
      const request = (headers: Parameters<typeof ask>[1], method?: string) =>
        Effect.flatMap(server.urlFor(execRequest), (url) =>
          Effect.promise(() => ask(url, headers, method === undefined ? {} : { method }))
        )
      const unknown = yield* request(spdyHeaders("v5.channel.k8s.io"))
      assert.strictEqual(unknown.status, 403)
      assert.strictEqual(
        unknown.headers["x-accepted-stream-protocol-versions"],
        "v4.channel.k8s.io, v3.channel.k8s.io, v2.channel.k8s.io, channel.k8s.io"
      )
      assert.strictEqual((yield* request(spdyHeaders())).status, 400)
      for (const method of ["GET", "POST"]) {
        const { status, headers } = yield* request(spdyHeaders("v5.channel.k8s.io", "v4.channel.k8s.io"), method)
        assert.strictEqual(status, 101)
        assert.strictEqual(headers.connection, "Upgrade")
        assert.strictEqual(headers.upgrade, "SPDY/3.1")
        assert.strictEqual(headers["x-stream-protocol-version"], "v4.channel.k8s.io")
      }
    })
  )

  it.live("for a WebSocket are refused when the handshake or the subprotocol is no good", () =>
    Effect.gen(function* () {
      const server = yield* startServer({})
      const headers = { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13" }
      const request = (more: Readonly<Record<string, string>>) =>
        Effect.flatMap(server.urlFor(execRequest), (url) =>
          Effect.promise(() => ask(url, { ...headers, ...more }, { method: "GET" }))
        )
      const key = "dGhlIHNhbXBsZSBub25jZQ=="
      assert.strictEqual((yield* request({ "Sec-WebSocket-Key": "short" })).status, 400)
      const protocol = yield* request({ "Sec-WebSocket-Key": key, "Sec-WebSocket-Protocol": "v6.channel.k8s.io" })
      assert.strictEqual(protocol.status, 403)
      const url = yield* server.urlFor({ _tag: "PortForward", podId: "p", ports: [] })
      const noPorts = yield* Effect.flip(
        Effect.tryPromise({
          try: () => WebSocketClient.open(url, ["v4.channel.k8s.io"]),
          catch: (cause) => (cause as Error).message
        })
      )
      assert.strictEqual(noPorts, "answered 400")
    })
  )

  it.live("have a head of bounded size", () =>
    Effect.gen(function* () {
      const server = yield* startServer({})
      const url = yield* server.urlFor(execRequest)
      const { pathname } = new URL(url)
      const large = yield* Effect.promise(() =>
        raw(url, `POST ${pathname} HTTP/1.1\r\nHost: x\r\nX: ${"x".repeat(20_000)}\r\n\r\n`)
      )
      assert.match(large, /^HTTP\/1\.1 431 /)
    })
  )

  it.live("come on a bounded number of connections", () =>
    Effect.gen(function* () {
      const server = yield* startServer({})
      const { hostname, port } = new URL(yield* server.urlFor(execRequest))
      const open = () =>
        new Promise<Socket>((resolve) => {
          const socket = connect(Number(port), hostname, () => resolve(socket))
          socket.on("error", () => {})
          socket.resume()
        })
      yield* Effect.promise(async () => {
        const sockets = await Promise.all(Array.from({ length: maxConnections }, open))
        const tooMany = await open()
        await until("it is closed", () => tooMany.destroyed)
        assert.isTrue(sockets.every(({ destroyed }) => !destroyed))
        sockets[0]?.destroy()
        let status = 0
        await until("another one is served", () => {
          void ask(`http://${hostname}:${port}/exec/AAAA`, {}).then(
            (answer) => (status = answer.status),
            () => {}
          )
          return status === 404
        })
        for (const socket of sockets) socket.destroy()
      })
    })
  )

  it.live("may bring the first frames along with their head", () =>
    Effect.gen(function* () {
      const process = yield* makeProcess
      const server = yield* serveProcess(process)
      const url = yield* server.urlFor({ ...execRequest, stdin: false, stderr: false })
      const { hostname, port, pathname } = new URL(url)
      yield* Effect.promise(async () => {
        const head = `POST ${pathname} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n`
        const socket = connect(Number(port), hostname)
        const write = socket.write.bind(socket)
        // What the client sends is held back until its head goes with it, in one piece.
        const pieces: Array<Buffer> = []
        socket.write = ((data: Buffer) => {
          pieces.push(data)
          return true
        }) as typeof socket.write
        const client = new SpdyClient(socket, new Uint8Array(0))
        client.stream("error", { streamtype: "error" })
        client.stream("stdout", { streamtype: "stdout" })
        socket.removeAllListeners("data")
        let received = Buffer.alloc(0)
        socket.on("data", (data) => (received = Buffer.concat([received, data])))
        write(Buffer.concat([Buffer.from(head), ...pieces]))
        const replies = () => received.subarray(received.indexOf("\r\n\r\n") + 4)
        // Two SYN_REPLYs: version 3, type 2.
        await until("two replies", () => replies().toString("hex").split("80030002").length === 3)
        socket.destroy()
      })
    })
  )
})
