import { status } from "@grpc/grpc-js"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber, Scope } from "effect"
import { spawn } from "node:child_process"
import { existsSync, lstatSync, mkdirSync, renameSync, writeFileSync } from "node:fs"
import { connect, createServer } from "node:net"
import { dirname, join } from "node:path"
import { debugWaits, makeRequestListener, makeRouter } from "../../src/cri/http.ts"
import { version } from "../../src/cri/runtime/version.ts"
import { serve } from "../../src/cri/Transport.ts"
import type { VersionResponse } from "../../src/gen/runtime/v1/api.ts"
import {
  connectTo,
  environment,
  eventually,
  httpRequest,
  LogLines,
  startServer,
  temporaryDirectory,
  unary
} from "./support.ts"

const runtime = { Version: version }

const askVersion = Effect.fnUntraced(function* (path: string) {
  const { runtimeName } = yield* unary(yield* connectTo(path))<VersionResponse>("Version", { version: "" })
  return runtimeName
}, Effect.scoped)

/** Leaves a socket behind as a killed daemon does: bound, and nobody listens any more. */
const leaveStaleSocket = (path: string) =>
  Effect.callback<void>((resume) => {
    const script = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`
    spawn(process.execPath, ["-e", script]).once("exit", () => resume(Effect.void))
  })

const listenAlone = (path: string) =>
  Effect.acquireRelease(
    Effect.callback<ReturnType<typeof createServer>>((resume) => {
      const server = createServer((socket) => socket.end())
      server.listen(path, () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close())
  )

describe("Transport, the socket file", () => {
  it.live("makes the directory and a socket of mode 0660, and takes the name away at the end", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryDirectory, "a", "b", "cri.sock")
      yield* startServer({ runtime, transport: { path } }).pipe(
        Effect.andThen(
          Effect.sync(() => {
            assert.isTrue(lstatSync(path).isSocket())
            assert.strictEqual(lstatSync(path).mode & 0o777, 0o660)
            assert.strictEqual(lstatSync(dirname(path)).mode & 0o777, 0o755)
            assert.isFalse(existsSync(`${path}.new`))
          })
        ),
        Effect.scoped
      )
      assert.isFalse(existsSync(path))
    }).pipe(Effect.scoped, Effect.provide(environment()))
  )

  it.live("takes over a socket on which nobody listens", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryDirectory, "cri.sock")
      yield* leaveStaleSocket(path)
      assert.isTrue(lstatSync(path).isSocket())
      yield* startServer({ runtime, transport: { path } })
      assert.strictEqual(yield* askVersion(path), "cricket")
    }).pipe(Effect.scoped, Effect.provide(environment()))
  )

  it.live("refuses a socket on which somebody listens, and leaves it working", () =>
    Effect.gen(function* () {
      const { path } = yield* startServer({ runtime })
      const error = yield* Effect.flip(startServer({ runtime: {}, transport: { path } }))
      assert.strictEqual(error._tag, "SocketInUse")
      assert.include(error.message, `another process is listening on ${path}`)
      assert.strictEqual(yield* askVersion(path), "cricket")
    }).pipe(Effect.scoped, Effect.provide(environment()))
  )

  it.live("refuses a path that is no socket", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryDirectory, "precious")
      writeFileSync(path, "data")
      const error = yield* Effect.flip(startServer({ runtime, transport: { path } }))
      assert.strictEqual(error._tag, "SocketError")
      assert.include(error.message, "a file is there, not a socket")
      assert.isTrue(existsSync(path))
    }).pipe(Effect.scoped, Effect.provide(environment()))
  )

  it.live("names the step that failed", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      writeFileSync(join(directory, "file"), "")
      const below = yield* Effect.flip(
        startServer({ runtime, transport: { path: join(directory, "file", "cri.sock") } })
      )
      assert.match(below.message, /making its directory failed: mkdir .*: (ENOTDIR|EEXIST)/)
      const path = join(directory, "x".repeat(120))
      const long = yield* Effect.flip(startServer({ runtime, transport: { path } }))
      assert.match(long.message, /failed: .*EINVAL/)
    }).pipe(Effect.scoped, Effect.provide(environment()))
  )

  it.live("leaves a socket alone that somebody else has put in its place", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const path = join(directory, "cri.sock")
      const scope = yield* Scope.make()
      yield* serve({ path, services: [], http: () => {} }).pipe(Scope.provide(scope))
      yield* listenAlone(join(directory, "other"))
      renameSync(join(directory, "other"), path)
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(existsSync(path))
    }).pipe(Effect.scoped, Effect.provide(environment()))
  )
})

describe("Transport, the two protocols", () => {
  it.live("answers gRPC and HTTP/1 on one socket", () =>
    Effect.gen(function* () {
      const waits = Effect.succeed([
        { name: "busybox", kind: "pull", ageMs: 5 },
        { name: "pod1", kind: "stop", ageMs: 700 }
      ])
      const http = yield* makeRequestListener(
        makeRouter({ "/debug/waits": debugWaits(waits), "/bug": Effect.die(new Error("secret thought")) })
      )
      const { path } = yield* startServer({ runtime, transport: { http } })
      assert.strictEqual(yield* askVersion(path), "cricket")
      const answer = yield* httpRequest(path, "/debug/waits?pretty=1")
      assert.deepStrictEqual([answer.status, answer.type], [200, "application/json"])
      assert.deepStrictEqual(JSON.parse(answer.body), [
        { name: "pod1", kind: "stop", ageMs: 700 },
        { name: "busybox", kind: "pull", ageMs: 5 }
      ])
      assert.strictEqual((yield* httpRequest(path, "/debug/waits", "POST")).status, 405)
      const missing = yield* httpRequest(path, "/nothing")
      assert.strictEqual(missing.status, 404)
      assert.include(missing.body, "/debug/waits")
      const bug = yield* httpRequest(path, "/bug")
      assert.deepStrictEqual([bug.status, bug.body], [500, "internal error\n"])
      assert.include((yield* LogLines)[0], "secret thought")
    }).pipe(Effect.scoped, Effect.provide(environment()))
  )

  it.live("decides when the first bytes come one at a time", () =>
    Effect.gen(function* () {
      const http = yield* makeRequestListener(makeRouter({ "/debug/waits": debugWaits(Effect.succeed([])) }))
      const { path } = yield* startServer({ runtime, transport: { http } })
      const answer = yield* Effect.callback<string>((resume) => {
        const socket = connect(path)
        const bytes = [..."GET /debug/waits HTTP/1.1\r\nhost: x\r\n\r\n"]
        const send = () => {
          const next = bytes.shift()
          if (next !== undefined) socket.write(next, () => setImmediate(send))
        }
        let text = ""
        socket.on("data", (chunk) => (text += chunk.toString()))
        socket.on("end", () => resume(Effect.succeed(text)))
        send()
      })
      assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/)
    }).pipe(Effect.scoped, Effect.provide(environment()))
  )

  it.live("survives connections that end before they say anything", () =>
    Effect.gen(function* () {
      const { path } = yield* startServer({ runtime })
      for (const bytes of ["", "P", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage that is no frame", "\0\0\0\0"]) {
        yield* Effect.callback<void>((resume) => {
          const socket = connect(path, () => socket.write(bytes, () => socket.destroySoon()))
          socket.on("error", () => {})
          socket.on("close", () => resume(Effect.void))
        })
      }
      assert.strictEqual(yield* askVersion(path), "cricket")
    }).pipe(Effect.scoped, Effect.provide(environment()))
  )

  it.live("takes messages above grpc-js's own limit of 4 MiB both ways", () =>
    Effect.gen(function* () {
      const server = yield* startServer({
        runtime: {
          ExecSync: (request) =>
            Effect.succeed({ stdout: Buffer.from(request.cmd.join("")), stderr: Buffer.alloc(0), exitCode: 0 })
        }
      })
      const size = 6 * 1024 * 1024
      const { stdout } = yield* server.call<{ stdout: Buffer }>("ExecSync", {
        containerId: "c1",
        cmd: ["x".repeat(size)],
        timeout: 0n
      })
      assert.lengthOf(stdout, size)
    }).pipe(Effect.scoped, Effect.provide(environment()))
  )
})

describe("Transport, the end", () => {
  it.live("lets a running call finish", () =>
    Effect.gen(function* () {
      const started = yield* Deferred.make<void>()
      const scope = yield* Scope.make()
      const server = yield* startServer({
        runtime: {
          StartContainer: () =>
            Deferred.succeed(started, undefined).pipe(Effect.andThen(Effect.sleep("300 millis")), Effect.as({}))
        }
      }).pipe(Scope.provide(scope))
      const client = yield* connectTo(server.path)
      const call = yield* Effect.forkChild(unary(client)("StartContainer", { containerId: "c1" }))
      yield* Deferred.await(started)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* Fiber.join(call), {})
    }).pipe(Effect.scoped, Effect.provide(environment()))
  )

  it.live("cuts a call that does not end in time, and is then gone", () =>
    Effect.gen(function* () {
      const started = yield* Deferred.make<void>()
      const interrupted = yield* Deferred.make<void>()
      const scope = yield* Scope.make()
      const server = yield* startServer({
        runtime: {
          StartContainer: () =>
            Deferred.succeed(started, undefined).pipe(
              Effect.andThen(Effect.never),
              Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined))
            )
        },
        transport: { drainFor: "200 millis" }
      }).pipe(Scope.provide(scope))
      const client = yield* connectTo(server.path)
      const silent = connect(server.path)
      silent.on("error", () => {})
      const call = yield* Effect.forkChild(Effect.flip(unary(client)("StartContainer", { containerId: "c1" })))
      yield* Deferred.await(started)
      const [elapsed] = yield* Effect.timed(Scope.close(scope, Exit.void))
      assert.isAtLeast(Duration.toMillis(elapsed), 190)
      yield* Deferred.await(interrupted)
      const { code } = yield* Fiber.join(call)
      assert.include([status.CANCELLED, status.UNAVAILABLE], code)
      yield* eventually(() => silent.destroyed)
      assert.strictEqual((yield* Effect.exit(askVersion(server.path)))._tag, "Failure")
    }).pipe(Effect.scoped, Effect.provide(environment()), Effect.timeout("5 seconds"))
  )
})

// A directory in the way of the temporary name is an error, not something to remove.
it.live("does not remove a directory at its temporary name", () =>
  Effect.gen(function* () {
    const path = join(yield* temporaryDirectory, "cri.sock")
    mkdirSync(`${path}.new`)
    const error = yield* Effect.flip(startServer({ runtime, transport: { path } }))
    assert.match(error.message, /binding failed: .*EADDRINUSE/)
  }).pipe(Effect.scoped, Effect.provide(environment()))
)
