/** The SPDY side of the streaming server with client-go as its peer; the processes behind it are made up. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:http"
import { type AddressInfo, connect, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { spdyPortForward } from "../../../src/streaming/spdy/portForward.ts"
import { spdyRemoteCommand } from "../../../src/streaming/spdy/remoteCommand.ts"
import type { ByteConnection, Forward, PortForwardSession, Session } from "../../../src/streaming/Session.ts"
import type { TerminalSize } from "../../../src/linux/Terminal.ts"
import type { ConnectionLost } from "../../../src/streaming/StreamingError.ts"
import { makeByteConnection } from "../../../src/streaming/transport/byteConnection.ts"
import { buildSpdyClient } from "./spdyClient.ts"

const mib = 1024 * 1024

let directory = ""
let client = ""

beforeAll(() => {
  directory = mkdtempSync(`${tmpdir()}/spdy-client-`)
  client = buildSpdyClient(directory)
})

afterAll(() => rmSync(directory, { recursive: true, force: true }))

/** Upgrades whatever asks; the connection goes to `serve`. Its address. */
const listen = (serve: (connection: ByteConnection, protocol: string) => Effect.Effect<void>) =>
  Effect.gen(function* () {
    const run = Effect.runForkWith(yield* Effect.context<never>())
    const server = yield* Effect.acquireRelease(
      Effect.sync(() => createServer()),
      (server) =>
        Effect.sync(() => {
          server.close()
          server.closeAllConnections()
        })
    )
    server.on("upgrade", (request, socket, head) => {
      const protocol = String(request.headers["x-stream-protocol-version"]).split(",")[0] ?? ""
      socket.write(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n" +
          `X-Stream-Protocol-Version: ${protocol}\r\n\r\n`
      )
      const served = makeByteConnection(socket as Socket, head, 60_000).pipe(
        Effect.flatMap((connection) => serve(connection, protocol)),
        Effect.scoped
      )
      run(served)
    })
    yield* Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void)))
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  })

const start = (command: string, args: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() => spawn(command, args, { stdio: "pipe" })),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )

/** What the client prints, and its exit code. */
const outcome = (child: ChildProcessWithoutNullStreams) =>
  Effect.callback<{ readonly stdout: Buffer; readonly stderr: string; readonly code: number | null }>((resume) => {
    const out: Array<Buffer> = []
    const err: Array<Buffer> = []
    child.stdout.on("data", (data: Buffer) => out.push(data))
    child.stderr.on("data", (data: Buffer) => err.push(data))
    child.on("close", (code) =>
      resume(Effect.succeed({ stdout: Buffer.concat(out), stderr: Buffer.concat(err).toString(), code }))
    )
  })

const protocols = ["channel.k8s.io", "v2.channel.k8s.io", "v3.channel.k8s.io", "v4.channel.k8s.io"] as const

type Process = (session: Session) => Effect.Effect<void, ConnectionLost>

/** client-go runs `process` with these streams, and gets `input`. */
const exec = (
  process: Process,
  streams: string,
  options: { input?: Buffer; protocol?: string; resizes?: number } = {}
) =>
  Effect.gen(function* () {
    const has = (name: string) => streams.split(",").includes(name)
    const url = yield* listen((connection, protocol) =>
      spdyRemoteCommand(connection, {
        version: (protocols.findIndex((known) => known === protocol) + 1) as 1 | 2 | 3 | 4,
        stdin: has("stdin"),
        stdout: has("stdout"),
        stderr: has("stderr"),
        terminal: has("tty"),
        creationTimeoutMs: 30_000
      }).pipe(Effect.flatMap(process), Effect.scoped, Effect.ignore)
    )
    const resizes = options.resizes === undefined ? [] : [String(options.resizes)]
    const child = yield* start(client, ["exec", url, streams, options.protocol ?? "v4.channel.k8s.io", ...resizes])
    const ended = yield* Effect.forkChild(outcome(child), { startImmediately: true })
    if (options.input !== undefined) child.stdin.end(options.input)
    return { child, ended }
  })

const run = (...args: Parameters<typeof exec>) => exec(...args).pipe(Effect.flatMap(({ ended }) => Fiber.join(ended)))

const cat: Process = (session) =>
  session.stdin.pipe(
    Stream.runForEach((data) => session.write("stdout", data)),
    Effect.andThen(session.finish({ _tag: "Exited", code: 0 }))
  )

const sha256 = (data: Uint8Array) => createHash("sha256").update(data).digest("hex")

describe("client-go's exec", () => {
  for (const [index, protocol] of protocols.entries()) {
    it.live(`speaks ${protocol}: half-closes stdin, reads all outputs, learns of a failure`, () =>
      Effect.gen(function* () {
        // A client of the first version never closes stdin; one byte is all that this process waits for.
        const head: Process = (session) =>
          session.stdin.pipe(
            Stream.take(1),
            Stream.runForEach((data) => session.write("stdout", data)),
            Effect.andThen(session.finish({ _tag: "Exited", code: 0 }))
          )
        const input = Buffer.from("through cat")
        const fine = yield* run(index === 0 ? head : cat, "stdin,stdout,stderr", { protocol, input })
        assert.deepStrictEqual([fine.stdout.toString(), fine.stderr, fine.code], ["through cat", "", 0])
        const both =
          (code: number): Process =>
          (session) =>
            Effect.gen(function* () {
              yield* session.write("stdout", Buffer.from("out"))
              yield* session.write("stderr", Buffer.from("err;"))
              yield* session.finish({ _tag: "Exited", code })
            })
        const whole = yield* run(both(0), "stdout,stderr", { protocol })
        assert.deepStrictEqual([whole.stdout.toString(), whole.stderr, whole.code], ["out", "err;", 0])
        const failed = yield* run(both(3), "stdout,stderr", { protocol })
        // A client of the first version ends with the outputs or with the failure, whichever it reads first.
        if (index > 0) {
          assert.strictEqual(failed.stdout.toString(), "out")
          assert.match(failed.stderr, /^err;/)
        }
        if (index === 3) assert.deepStrictEqual([failed.stderr, failed.code], ["err;", 3])
        else if (index > 0) assert.include(failed.stderr, "command terminated with non-zero exit code: 3")
        const broken = yield* run(
          (session) => session.finish({ _tag: "Failed", message: "no such file" }),
          "stdout,stderr",
          { protocol }
        )
        if (index > 0) assert.include(broken.stderr, "no such file")
      }).pipe(Effect.scoped)
    )
  }

  it.live("gets every byte of 50 MiB both ways", () =>
    Effect.gen(function* () {
      const input = Buffer.alloc(50 * mib)
      for (let place = 0; place < input.length; place += 4) input.writeUInt32LE(place, place)
      const { stdout, code } = yield* run(cat, "stdin,stdout", { input })
      assert.deepStrictEqual([stdout.length, sha256(stdout), code], [input.length, sha256(input), 0])
    }).pipe(Effect.scoped)
  )

  it.live("resizes ten thousand times, and what is typed behind that still arrives", () =>
    Effect.gen(function* () {
      let last: TerminalSize | undefined
      const shell: Process = (session) =>
        Effect.gen(function* () {
          const sizes = yield* session.resizes.pipe(
            Stream.takeUntil(({ width }) => width === 10_000),
            Stream.runForEach((size) => Effect.sync(() => (last = size))),
            Effect.forkChild
          )
          yield* Stream.runForEach(session.stdin, (data) => session.write("stdout", data))
          yield* Fiber.join(sizes)
          yield* session.finish({ _tag: "Exited", code: 0 })
        })
      const { stdout, code } = yield* run(shell, "stdin,stdout,tty", { resizes: 10_000, input: Buffer.from("typed") })
      assert.deepStrictEqual([stdout.toString(), code, last], ["typed", 0, { width: 10_000, height: 24 }])
    }).pipe(Effect.scoped)
  )

  it.live("ends although it still sends stdin that the process never reads, and little of it is kept", () =>
    Effect.gen(function* () {
      const before = process.memoryUsage().rss
      let grown = 0
      const deaf: Process = (session) =>
        Effect.gen(function* () {
          yield* Effect.sleep("1 second")
          grown = process.memoryUsage().rss - before
          yield* session.write("stdout", Buffer.from("done"))
          yield* session.finish({ _tag: "Exited", code: 0 })
        })
      const { child, ended } = yield* exec(deaf, "stdin,stdout")
      child.stdin.on("error", () => {})
      const chunk = Buffer.alloc(mib)
      const fill = () => {
        while (child.stdin.writable && child.stdin.write(chunk));
      }
      child.stdin.on("drain", fill)
      fill()
      const { stdout, code } = yield* Fiber.join(ended)
      assert.deepStrictEqual([stdout.toString(), code], ["done", 0])
      assert.isBelow(grown, 50 * mib)
    }).pipe(Effect.scoped)
  )

  it.live("may be killed with 100 MiB unread: the writer is freed, and holds little until then", () =>
    Effect.gen(function* () {
      const freed = yield* Deferred.make<number>()
      let written = 0
      const flood: Process = (session) =>
        session.write("stdout", Buffer.alloc(mib)).pipe(
          Effect.andThen(Effect.sync(() => (written += mib))),
          Effect.repeat({ times: 100 }),
          Effect.catch((error) => Deferred.succeed(freed, written).pipe(Effect.andThen(Effect.fail(error)))),
          Effect.asVoid
        )
      const url = yield* listen((connection) =>
        spdyRemoteCommand(connection, {
          version: 4,
          stdin: false,
          stdout: true,
          stderr: false,
          terminal: false,
          creationTimeoutMs: 30_000
        }).pipe(Effect.flatMap(flood), Effect.scoped, Effect.ignore)
      )
      const before = process.memoryUsage().rss
      // Nobody reads what it prints.
      const child = yield* start(client, ["exec", url, "stdout", "v4.channel.k8s.io"])
      yield* Effect.sleep("2 seconds")
      assert.isBelow(written, 100 * mib)
      assert.isBelow(process.memoryUsage().rss - before, 50 * mib)
      child.kill("SIGKILL")
      assert.strictEqual(yield* Deferred.await(freed), written)
    }).pipe(Effect.scoped)
  )
})

describe("client-go's port-forward", () => {
  const forwarding = (serve: (forward: Forward) => Effect.Effect<void, ConnectionLost>) =>
    Effect.gen(function* () {
      const each = (session: PortForwardSession) =>
        session.forwards.pipe(
          Stream.mapEffect((forward) => Effect.ignore(serve(forward)), { concurrency: "unbounded" }),
          Stream.runDrain
        )
      const url = yield* listen((connection) =>
        spdyPortForward(connection, { creationTimeoutMs: 30_000 }).pipe(
          Effect.flatMap(each),
          Effect.scoped,
          Effect.ignore
        )
      )
      const child = yield* start(client, ["portforward", url, "8080"])
      const port = yield* Effect.callback<number>((resume) => {
        let text = ""
        child.stdout.on("data", (data: Buffer) => {
          text += data.toString()
          const match = /127\.0\.0\.1:(\d+) -> 8080/.exec(text)
          if (match !== null) resume(Effect.succeed(Number(match[1])))
        })
      })
      return { child, port }
    })

  /** All that the other side of the forwarded port answers. */
  const ask = (port: number, data: Buffer) =>
    Effect.callback<Buffer>((resume) => {
      const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true }, () => socket.end(data))
      const received: Array<Buffer> = []
      socket.on("data", (data) => received.push(data))
      socket.on("error", () => {})
      socket.on("close", () => resume(Effect.succeed(Buffer.concat(received))))
      return Effect.sync(() => socket.destroy())
    })

  const echo = (forward: Forward) =>
    forward.incoming.pipe(
      Stream.runForEach(forward.write),
      Effect.andThen(forward.endWrite),
      Effect.andThen(forward.close)
    )

  it.live("carries two hundred connections, twenty at a time, and every byte of them", () =>
    Effect.gen(function* () {
      const { port } = yield* forwarding((forward) => {
        assert.strictEqual(forward.port, 8080)
        return echo(forward)
      })
      yield* Effect.forEach(
        Array.from({ length: 200 }, (_, index) => Buffer.alloc(1 + index * 1000, String(index))),
        (data) => Effect.map(ask(port, data), (answer) => assert.isTrue(answer.equals(data), `${data.length}`)),
        { concurrency: 20 }
      )
    }).pipe(Effect.scoped)
  )

  it.live("ends when the pod has no more to say, though the client would still write", () =>
    Effect.gen(function* () {
      const { port } = yield* forwarding((forward) =>
        forward.write(Buffer.from("goodbye")).pipe(Effect.andThen(forward.endWrite), Effect.andThen(forward.close))
      )
      for (let index = 0; index < 5; index++) {
        const answer = yield* Effect.callback<string>((resume) => {
          const socket = connect({ port, host: "127.0.0.1" })
          let text = ""
          socket.on("data", (data) => (text += data.toString()))
          socket.on("error", () => {})
          socket.on("close", () => resume(Effect.succeed(text)))
        })
        assert.strictEqual(answer, "goodbye")
      }
    }).pipe(Effect.scoped)
  )

  it.live("prints why a connection failed", () =>
    Effect.gen(function* () {
      const { child, port } = yield* forwarding((forward) => forward.fail("error forwarding port 8080: nobody listens"))
      const printed = yield* Effect.callback<string>((resume) => {
        let text = ""
        child.stderr.on("data", (data: Buffer) => {
          text += data.toString()
          if (text.includes("\n")) resume(Effect.succeed(text))
        })
      }).pipe(Effect.forkChild({ startImmediately: true }))
      yield* ask(port, Buffer.alloc(0))
      assert.include(yield* Fiber.join(printed), "error forwarding port 8080: nobody listens")
    }).pipe(Effect.scoped)
  )
})
