import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import type { Session } from "../../../src/streaming/Session.ts"
import type { Frame } from "../../../src/streaming/spdy/frames.ts"
import { spdyRemoteCommand } from "../../../src/streaming/spdy/remoteCommand.ts"
import { makeResizeParser } from "../../../src/streaming/spdy/resizes.ts"
import { makePipe, settle, utf8 } from "./support.ts"

type Version = 1 | 2 | 3 | 4

interface Shape {
  readonly version?: Version
  readonly stdin?: boolean
  readonly stdout?: boolean
  readonly stderr?: boolean
  readonly terminal?: boolean
}

const begin = (shape: Shape) =>
  Effect.gen(function* () {
    const { connection, client } = yield* makePipe
    const session = yield* spdyRemoteCommand(connection, {
      version: 4,
      stdin: false,
      stdout: false,
      stderr: false,
      terminal: false,
      creationTimeoutMs: 30_000,
      ...shape
    }).pipe(Effect.forkScoped({ startImmediately: true }))
    return { client, session }
  })

/** A session and the ids of its streams, all opened and answered. */
const start = (shape: Shape, types: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const { client, session } = yield* begin(shape)
    const ids = new Map<string, number>()
    for (const type of types) {
      const id = yield* client.open({ streamtype: type })
      ids.set(type, id)
      assert.deepStrictEqual(yield* client.next, { _tag: "SynReply", streamId: id, fin: false, headers: new Map() })
    }
    const nameOf = (id: number) => [...ids].find(([, other]) => other === id)?.[0] ?? String(id)
    /** The frames as one can read them. */
    const tell = (frames: ReadonlyArray<Frame>) =>
      frames.map((frame) => {
        if (frame._tag === "Data") return `${nameOf(frame.streamId)} ${utf8(frame.data)}${frame.fin ? "FIN" : ""}`
        if (frame._tag === "RstStream") return `${nameOf(frame.streamId)} RST ${frame.status}`
        return frame._tag
      })
    return { client, session: yield* Fiber.join(session), id: (type: string) => ids.get(type) ?? 0, tell }
  })

const everything = ["error", "stdin", "stdout", "stderr"]
const pipes = { stdin: true, stdout: true, stderr: true }

const stdinOf = (session: Session) =>
  session.stdin.pipe(
    Stream.runFold(
      () => "",
      (text, data: Uint8Array) => text + utf8(data)
    )
  )

describe("an exec over SPDY", () => {
  it.effect("begins when all streams are there, whatever their order", () =>
    Effect.gen(function* () {
      const { client, session } = yield* begin({ ...pipes, terminal: false })
      for (const type of ["stderr", "stdin", "error"]) yield* client.open({ streamtype: type })
      yield* settle
      assert.isUndefined(session.pollUnsafe())
      yield* client.open({ streamtype: "stdout" })
      yield* Fiber.join(session)
    }).pipe(Effect.scoped)
  )

  it.effect("ends in the order that clients need: outputs, status, the rest, goodbye", () =>
    Effect.gen(function* () {
      const { client, session, tell } = yield* start(pipes, everything)
      yield* session.write("stdout", Buffer.from("out"))
      yield* session.write("stderr", Buffer.from("err"))
      yield* session.finish({ _tag: "Exited", code: 0 })
      yield* session.gone
      const frames = tell(yield* client.rest)
      const status = JSON.parse((frames[4] ?? "").replace("error ", "")) as { status: string }
      assert.strictEqual(status.status, "Success")
      assert.deepStrictEqual(
        frames.filter((_, index) => index !== 4),
        ["stdout out", "stderr err", "stdout FIN", "stderr FIN", "error FIN", "stdin RST 5", "GoAway"]
      )
    }).pipe(Effect.scoped)
  )

  it.effect("hands stdin on until the client half-closes it", () =>
    Effect.gen(function* () {
      const { client, session, id } = yield* start(pipes, everything)
      // What a client sends where nothing is read does not stand in the way.
      yield* client.data(id("stdout"), Buffer.alloc(900_000))
      yield* client.data(id("error"), Buffer.alloc(900_000), true)
      yield* client.data(id("stdin"), "hello ")
      yield* client.data(id("stdin"), "world", true)
      assert.strictEqual(yield* stdinOf(session), "hello world")
      yield* session.write("stdout", Buffer.from("still open"))
      assert.strictEqual((yield* client.next)._tag, "Data")
    }).pipe(Effect.scoped)
  )

  it.effect("tells the client that nobody reads stdin any more, and drops the rest", () =>
    Effect.gen(function* () {
      const { client, session, id, tell } = yield* start(pipes, everything)
      yield* session.closeStdin
      assert.deepStrictEqual(tell([yield* client.next]), ["stdin FIN"])
      for (let index = 0; index < 10; index++) yield* client.data(id("stdin"), Buffer.alloc(200_000))
      yield* session.finish({ _tag: "Exited", code: 0 })
      assert.notInclude(tell(yield* client.rest).join(), "stdin")
    }).pipe(Effect.scoped)
  )

  it.effect("is over although the client still sends stdin that nobody has read", () =>
    Effect.gen(function* () {
      const { client, session, id } = yield* start(pipes, everything)
      const flood = yield* client
        .data(id("stdin"), Buffer.alloc(64 * 1024))
        .pipe(Effect.repeat({ times: 100 }), Effect.forkScoped)
      yield* settle
      yield* session.finish({ _tag: "Exited", code: 0 })
      yield* Fiber.join(flood)
    }).pipe(Effect.scoped)
  )

  it.effect("takes streams that nobody asked for, and writes nothing there", () =>
    Effect.gen(function* () {
      const { client, session, id, tell } = yield* start({ stdout: true }, ["error", "stdin", "resize", "stdout"])
      yield* client.data(id("stdin"), Buffer.alloc(900_000))
      assert.strictEqual(yield* stdinOf(session), "")
      yield* client.sendFrame({ _tag: "Ping", id: 1 })
      assert.strictEqual((yield* client.next)._tag, "Ping")
      yield* session.write("stderr", Buffer.from("nowhere"))
      yield* session.finish({ _tag: "Exited", code: 0 })
      assert.notInclude(tell(yield* client.rest).join(), "nowhere")
    }).pipe(Effect.scoped)
  )

  it.effect("refuses kinds of streams that do not exist, and second ones", () =>
    Effect.gen(function* () {
      const { client, session } = yield* begin({ stdout: true })
      yield* client.open({ streamtype: "data" })
      yield* client.open({})
      yield* client.open({ streamtype: "error" })
      yield* client.open({ streamtype: "error" })
      yield* client.open({ streamtype: "stdout" })
      yield* Fiber.join(session)
      const tags = [yield* client.next, yield* client.next, yield* client.next, yield* client.next, yield* client.next]
      assert.deepStrictEqual(
        tags.map((frame) => frame._tag),
        ["RstStream", "RstStream", "SynReply", "RstStream", "SynReply"]
      )
    }).pipe(Effect.scoped)
  )

  it.effect("gives up on a client that does not open its streams in time, and closes", () =>
    Effect.gen(function* () {
      const { client, session } = yield* begin(pipes)
      yield* client.open({ streamtype: "error" })
      yield* client.open({ streamtype: "stdout" })
      yield* settle
      yield* TestClock.adjust("29 seconds")
      assert.isUndefined(session.pollUnsafe())
      yield* TestClock.adjust("1 second")
      const error = yield* Effect.flip(Fiber.join(session))
      assert.include(error.message, "within 30000 ms, stdin, stderr missing")
      assert.deepStrictEqual(
        (yield* client.rest).map((frame) => frame._tag),
        ["SynReply", "SynReply", "RstStream", "RstStream", "GoAway"]
      )
    }).pipe(Effect.scoped)
  )

  it.effect("gives up on a client that leaves before all streams are there", () =>
    Effect.gen(function* () {
      const { client, session } = yield* begin(pipes)
      yield* client.open({ streamtype: "error" })
      yield* client.close
      assert.include((yield* Effect.flip(Fiber.join(session))).message, "before it had opened its streams")
    }).pipe(Effect.scoped)
  )

  it.effect("learns that its client is gone", () =>
    Effect.gen(function* () {
      const { client, session, id } = yield* start(pipes, everything)
      const reader = yield* Effect.forkScoped(Effect.flip(stdinOf(session)))
      yield* client.data(id("stdin"), "cut sh")
      yield* client.die
      yield* session.gone
      assert.include((yield* Fiber.join(reader)).message, "reset by peer")
      const error = yield* Effect.flip(session.write("stdout", Buffer.from("x")))
      assert.include(error.message, "reset by peer")
      yield* session.finish({ _tag: "Exited", code: 0 })
    }).pipe(Effect.scoped)
  )
})

describe("the error stream", () => {
  const errorText = (version: Version, status: Parameters<Session["finish"]>[0]) =>
    Effect.gen(function* () {
      const { client, session, tell } = yield* start({ version, stdout: true }, ["error", "stdout"])
      yield* session.finish(status)
      return tell(yield* client.rest)
    }).pipe(Effect.scoped)

  for (const version of [1, 2, 3] as const) {
    it.effect(`of version ${version} holds a text, of failures only`, () =>
      Effect.gen(function* () {
        const rest = ["error FIN", "GoAway"]
        assert.deepStrictEqual(yield* errorText(version, { _tag: "Exited", code: 0 }), ["stdout FIN", ...rest])
        assert.deepStrictEqual(yield* errorText(version, { _tag: "Ended" }), ["stdout FIN", ...rest])
        assert.deepStrictEqual(yield* errorText(version, { _tag: "Exited", code: 3 }), [
          "stdout FIN",
          "error command terminated with non-zero exit code: 3",
          ...rest
        ])
        assert.deepStrictEqual(yield* errorText(version, { _tag: "Failed", message: "no such file" }), [
          "stdout FIN",
          "error no such file",
          ...rest
        ])
      })
    )
  }

  it.effect("of version 4 holds a Status object, always", () =>
    Effect.gen(function* () {
      const statusOf = (frames: ReadonlyArray<string>) => JSON.parse((frames[1] ?? "").replace("error ", "")) as unknown
      assert.deepInclude(statusOf(yield* errorText(4, { _tag: "Exited", code: 0 })), { status: "Success" })
      assert.deepInclude(statusOf(yield* errorText(4, { _tag: "Ended" })), { status: "Success" })
      assert.deepInclude(statusOf(yield* errorText(4, { _tag: "Exited", code: 3 })), {
        status: "Failure",
        message: "command terminated with non-zero exit code: 3",
        reason: "NonZeroExitCode",
        details: { causes: [{ reason: "ExitCode", message: "3" }] }
      })
      assert.deepInclude(statusOf(yield* errorText(4, { _tag: "Failed", message: "no such file" })), {
        status: "Failure",
        message: "Internal error occurred: no such file",
        reason: "InternalError",
        code: 500
      })
    })
  )
})

describe("resizing", () => {
  it("reads objects in whatever pieces they come", () => {
    const text = '{"Width":80,"Height":24}\n{"Width":0,"Height":10} {"Height":40,"Width":120}'
    for (let size = 1; size <= text.length; size++) {
      const parse = makeResizeParser()
      const sizes = []
      for (let start = 0; start < text.length; start += size) {
        sizes.push(...parse(Buffer.from(text.slice(start, start + size))))
      }
      assert.deepStrictEqual(sizes, [
        { width: 80, height: 24 },
        { width: 120, height: 40 }
      ])
    }
  })

  it("leaves out what is no size and keeps no text without an end", () => {
    const parse = makeResizeParser()
    assert.deepStrictEqual(parse(Buffer.from('} nonsense} {"Width":70000,"Height":1}{"Width":-1,"Height":1}')), [])
    assert.deepStrictEqual(parse(Buffer.from('{"Width":1,"Height":1}')), [{ width: 1, height: 1 }])
    assert.deepStrictEqual(parse(Buffer.alloc(2000, " ")), [])
    assert.deepStrictEqual(parse(Buffer.from('{"Width":1,"Height":1}')), [])
  })

  it.effect("needs a terminal and version 3", () =>
    Effect.gen(function* () {
      const three = yield* begin({ version: 3, stdout: true, terminal: true })
      const two = yield* begin({ version: 2, stdout: true, terminal: true })
      for (const { client } of [two, three]) {
        yield* client.open({ streamtype: "error" })
        yield* client.open({ streamtype: "stdout" })
      }
      yield* Fiber.join(two.session)
      yield* settle
      assert.isUndefined(three.session.pollUnsafe())
      yield* three.client.open({ streamtype: "resize" })
      yield* Fiber.join(three.session)
    }).pipe(Effect.scoped)
  )

  it.effect("ten thousand times leaves the last size and holds nobody up, read or not", () =>
    Effect.gen(function* () {
      const { client, session, id } = yield* start({ stdin: true, stdout: true, terminal: true }, [
        "error",
        "stdin",
        "stdout",
        "resize"
      ])
      for (let width = 1; width <= 10_000; width++) {
        yield* client.data(id("resize"), `{"Width":${width},"Height":24}\n`, width === 10_000)
      }
      yield* client.data(id("stdin"), "typed", true)
      assert.strictEqual(yield* stdinOf(session), "typed")
      assert.deepStrictEqual(yield* Stream.runCollect(session.resizes), [{ width: 10_000, height: 24 }])
    }).pipe(Effect.scoped)
  )
})
