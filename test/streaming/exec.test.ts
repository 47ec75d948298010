/** Exec and attach from the client's socket to the process's streams, over each protocol. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { TerminalSize } from "../../src/linux/Terminal.ts"
import { until, WebSocketClient } from "./clients.ts"
import { exitCode, spdy, success, webSocket } from "./execClients.ts"
import { attachRequest, execRequest, type FakeProcess, makeProcess, serveProcess, startServer } from "./support.ts"

/** A command that copies its input to its output and ends with it. */
const cat = Effect.fnUntraced(function* (process: FakeProcess) {
  yield* Effect.promise(() => until("the input ends", () => process.state.inputEnded))
  yield* process.stdout(process.state.input)
  yield* process.end(0)
})

describe("over SPDY", () => {
  it.live("the input ends with the client's half-close, the status follows all output", () =>
    Effect.gen(function* () {
      const process = yield* makeProcess
      const server = yield* serveProcess(process)
      const client = yield* spdy(yield* server.urlFor(execRequest), "stdin", "stdout", "stderr")
      client.data("stdin", "one ")
      client.data("stdin", "two", true)
      yield* cat(process)
      assert.strictEqual(yield* Effect.promise(() => client.status()), success)
      assert.strictEqual(client.text("stdout"), "one two")
      assert.isTrue(client.of("stdout").fin && client.of("stderr").fin)
      yield* Effect.promise(() => until("the connection closes", () => client.closed))
      assert.isTrue(process.state.released)
    })
  )

  it.live("stdout and stderr apart, the exit code last", () =>
    Effect.gen(function* () {
      const process = yield* makeProcess
      const server = yield* serveProcess(process)
      const client = yield* spdy(yield* server.urlFor({ ...execRequest, stdin: false }), "stdout", "stderr")
      yield* process.stdout("out")
      yield* process.stderr("err")
      yield* process.end(3)
      assert.strictEqual(exitCode(yield* Effect.promise(() => client.status())), "3")
      assert.deepStrictEqual([client.text("stdout"), client.text("stderr")], ["out", "err"])
    })
  )

  it.live("a terminal's size comes as often as it changes; only the last one waits", () =>
    Effect.gen(function* () {
      const process = yield* makeProcess
      const server = yield* serveProcess(process)
      const url = yield* server.urlFor({ ...execRequest, stderr: false, terminal: true })
      const client = yield* spdy(url, "stdin", "stdout", "resize")
      for (let width = 1; width <= 10_000; width++) client.data("resize", `{"Width":${width},"Height":40}\n`)
      yield* Effect.promise(() => until("the last size", () => process.sizes.at(-1)?.width === 10_000))
      assert.deepStrictEqual(process.sizes.at(-1), { width: 10_000, height: 40 })
      yield* process.end(0)
      assert.strictEqual(yield* Effect.promise(() => client.status()), success)
    })
  )

  it.live("a terminal has its size when the command starts, if the client says it at once", () =>
    Effect.gen(function* () {
      const process = yield* makeProcess
      const started: Array<TerminalSize | undefined> = []
      const exec = (_: unknown, size: TerminalSize | undefined) => {
        started.push(size)
        return process.started
      }
      const server = yield* startServer({ exec })
      const shape = { stdin: false, stderr: false, terminal: true }
      const client = yield* spdy(yield* server.urlFor({ ...execRequest, ...shape }), "stdout", "resize")
      client.data("resize", '{"Width":120,"Height":40}{"Width":121,"Hei')
      yield* Effect.promise(() => until("it starts", () => started.length === 1))
      assert.deepStrictEqual(started, [{ width: 120, height: 40 }])
      client.data("resize", 'ght":41}')
      yield* Effect.promise(() => until("the next size", () => process.sizes.at(-1)?.width === 121))
      const silent = yield* spdy(yield* server.urlFor({ ...execRequest, ...shape }), "stdout", "resize")
      yield* Effect.promise(() => until("it starts", () => started.length === 2))
      assert.isUndefined(started[1])
      silent.data("resize", '{"Width":90,"Height":20}')
      yield* Effect.promise(() => until("its size", () => process.sizes.at(-1)?.width === 90))
    })
  )

  it.live("a client that leaves a terminal hangs it up; pipes, an input that ends and a command that ends do not", () =>
    Effect.gen(function* () {
      const begin = Effect.fnUntraced(function* (terminal: boolean) {
        const process = yield* makeProcess
        const server = yield* serveProcess(process)
        const url = yield* server.urlFor({ ...execRequest, stderr: false, terminal })
        const client = yield* spdy(url, ...(terminal ? ["stdin", "stdout", "resize"] : ["stdin", "stdout"]))
        if (terminal) client.data("resize", '{"Width":80,"Height":24}')
        client.data("stdin", "x", true)
        yield* Effect.promise(() => until("the input ends", () => process.state.inputEnded))
        return { process, client }
      })
      const [left, piped, ended] = [yield* begin(true), yield* begin(false), yield* begin(true)]
      assert.isFalse(left.process.state.hungUp)
      left.client.socket.destroy()
      piped.client.socket.destroy()
      yield* Effect.promise(() => until("it hangs up", () => left.process.state.hungUp))
      assert.isFalse(left.process.state.released)
      yield* ended.process.end(0)
      assert.strictEqual(yield* Effect.promise(() => ended.client.status()), success)
      yield* Effect.promise(() => until("the connection closes", () => ended.client.closed))
      assert.deepStrictEqual([piped.process.state.hungUp, ended.process.state.hungUp], [false, false])
    })
  )

  it.live("a command that cannot be started is a failure on the error stream", () =>
    Effect.gen(function* () {
      const server = yield* startServer({ exec: () => Effect.fail({ message: "container c1 is gone" }) })
      const client = yield* spdy(yield* server.urlFor(execRequest), "stdin", "stdout", "stderr")
      const status = JSON.parse(yield* Effect.promise(() => client.status()))
      assert.deepStrictEqual(
        [status.reason, status.message],
        ["InternalError", "Internal error occurred: container c1 is gone"]
      )
    })
  )
})

describe("over a WebSocket", () => {
  it.live("v5: a message says that the streams are there, CLOSE ends the input, the status comes with code 1000", () =>
    Effect.gen(function* () {
      const process = yield* makeProcess
      const server = yield* serveProcess(process)
      const client = yield* webSocket(yield* server.urlFor(execRequest), "v5.channel.k8s.io")
      yield* Effect.promise(() => until("the first message", () => client.messages.length > 0))
      assert.deepStrictEqual(client.messages, [Buffer.from([1])])
      client.send(0, "one ")
      client.send(9, "nobody knows this channel")
      client.send(0, "two")
      client.socket.send(Uint8Array.of(255, 0))
      yield* cat(process)
      assert.strictEqual(yield* Effect.promise(() => client.end()), 1000)
      assert.deepStrictEqual([client.text(1), client.text(3)], ["one two", success])
      assert.strictEqual(client.socket.extensions, "")
    })
  )

  it.live("v5: a CLOSE of no channel ends it, and with it the command's input", () =>
    Effect.gen(function* () {
      const process = yield* makeProcess
      const server = yield* serveProcess(process)
      const client = yield* webSocket(yield* server.urlFor(execRequest), "v5.channel.k8s.io")
      client.socket.send(Uint8Array.of(255, 77))
      assert.strictEqual(yield* Effect.promise(() => client.end()), 1002)
      yield* Effect.promise(() => until("the input ends", () => process.state.inputEnded))
      assert.isFalse(process.state.released)
    })
  )

  it.live("v4: stdout, stderr and the exit code", () =>
    Effect.gen(function* () {
      const process = yield* makeProcess
      const server = yield* serveProcess(process)
      const client = yield* webSocket(yield* server.urlFor(execRequest), "v4.channel.k8s.io")
      assert.strictEqual(client.socket.protocol, "v4.channel.k8s.io")
      client.send(0, "input")
      yield* Effect.promise(() => until("the input", () => process.state.input === "input"))
      yield* process.stdout("out")
      yield* process.stderr("err")
      yield* process.end(42)
      assert.strictEqual(yield* Effect.promise(() => client.end()), 1000)
      assert.deepStrictEqual([client.text(1), client.text(2), exitCode(client.text(3))], ["out", "err", "42"])
    })
  )

  it.live("v1: the error channel says what failed, and nothing of what did not", () =>
    Effect.gen(function* () {
      for (const [protocol, code, text] of [
        ["channel.k8s.io", 0, ""],
        ["channel.k8s.io", 1, "command terminated with non-zero exit code: 1"]
      ] as const) {
        const process = yield* makeProcess
        const server = yield* serveProcess(process)
        const client = yield* webSocket(yield* server.urlFor(execRequest), protocol)
        yield* process.end(code)
        assert.strictEqual(yield* Effect.promise(() => client.end()), 1000)
        assert.strictEqual(client.text(3), text)
      }
    })
  )

  it.live("without a subprotocol it is v1", () =>
    Effect.gen(function* () {
      const process = yield* makeProcess
      const server = yield* serveProcess(process)
      const url = yield* server.urlFor(execRequest)
      const client = yield* Effect.promise(() => WebSocketClient.open(url, []))
      assert.strictEqual(client.socket.protocol, "")
      yield* process.stdout("out")
      yield* process.end(0)
      assert.strictEqual(yield* Effect.promise(() => client.end()), 1000)
      assert.strictEqual(client.text(1), "out")
    })
  )

  it.live("base64: texts both ways", () =>
    Effect.gen(function* () {
      const process = yield* makeProcess
      const server = yield* serveProcess(process)
      const client = yield* webSocket(yield* server.urlFor(execRequest), "v4.base64.channel.k8s.io")
      client.socket.send(`0${Buffer.from("zwölf").toString("base64")}`)
      client.socket.send(`4${Buffer.from('{"Width":1,"Height":1}').toString("base64")}`)
      yield* Effect.promise(() => until("the input", () => process.state.input === "zwölf"))
      yield* process.stdout("out")
      yield* process.end(0)
      yield* Effect.promise(() => client.end())
      const base64 = (text: string) => Buffer.from(text).toString("base64")
      assert.deepStrictEqual(client.messages, ["1", `1${base64("out")}`, `3${base64(success)}`])
      assert.deepStrictEqual(process.sizes, [])
    })
  )

  it.live("a terminal has its size from channel 4, and no stderr", () =>
    Effect.gen(function* () {
      const process = yield* makeProcess
      const server = yield* serveProcess(process)
      const url = yield* server.urlFor({ ...execRequest, stderr: false, terminal: true })
      const client = yield* webSocket(url, "v5.channel.k8s.io")
      client.send(4, '{"Width":0,"Height":40}')
      client.send(4, "no JSON")
      client.send(4, '{"Width":120,"Height":40}')
      yield* Effect.promise(() => until("a size", () => process.sizes.length > 0))
      assert.deepStrictEqual(process.sizes, [{ width: 120, height: 40 }])
      yield* process.stderr("lost")
      yield* process.end(0)
      yield* Effect.promise(() => client.end())
      assert.strictEqual(client.text(2), "")
    })
  )

  it.live("the first message goes to the lowest output that there is", () =>
    Effect.gen(function* () {
      for (const [shape, channel] of [
        [{ stdout: false }, 2],
        [{ stdout: false, stderr: false }, 3]
      ] as const) {
        const process = yield* makeProcess
        const server = yield* serveProcess(process)
        const client = yield* webSocket(yield* server.urlFor({ ...execRequest, ...shape }), "v4.channel.k8s.io")
        yield* Effect.promise(() => until("the first message", () => client.messages.length > 0))
        assert.deepStrictEqual(client.messages[0], Buffer.from([channel]))
        yield* process.end(0)
      }
    })
  )

  it.live("pings are answered, messages that are too large end it", () =>
    Effect.gen(function* () {
      const process = yield* makeProcess
      const server = yield* serveProcess(process)
      const client = yield* webSocket(yield* server.urlFor(execRequest), "v5.channel.k8s.io")
      client.socket.ping()
      yield* Effect.promise(() => until("a pong", () => client.pongs === 1))
      client.send(0, new Uint8Array(5 * 1024 * 1024))
      assert.strictEqual(yield* Effect.promise(() => client.end()), 1009)
    })
  )
})

describe("an attachment", () => {
  it.live("ends in success when the container ends, whatever its exit code", () =>
    Effect.gen(function* () {
      const process = yield* makeProcess
      const server = yield* serveProcess(process)
      const client = yield* spdy(yield* server.urlFor(attachRequest), "stdin", "stdout", "stderr")
      client.data("stdin", "exit 3\n")
      yield* process.stdout("bye")
      yield* process.end(3)
      assert.strictEqual(yield* Effect.promise(() => client.status()), success)
      assert.strictEqual(client.text("stdout"), "bye")
    })
  )
})
