/** What Exec, Attach and PortForward demand before they give out a URL, and what they leave with the server. */
import { status } from "@grpc/grpc-js"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer } from "effect"
import { attach } from "../../../src/cri/runtime/attach.ts"
import { exec } from "../../../src/cri/runtime/exec.ts"
import { portForward } from "../../../src/cri/runtime/portForward.ts"
import { type RpcError, statusOf } from "../../../src/cri/statusCodes.ts"
import { Pods } from "../../../src/pod/Pods.ts"
import type { StreamRequest } from "../../../src/streaming/PodSide.ts"
import { TooManyRequests } from "../../../src/streaming/StreamingError.ts"
import { StreamingServer } from "../../../src/streaming/StreamingServer.ts"
import { containerRecord, podRecord } from "../../pod/support/host.ts"

const running = containerRecord()
const exited = containerRecord({
  id: "d".repeat(64),
  state: { _tag: "Exited", startedAtNs: 5n, finishedAtNs: 9n, exitCode: 0, reason: "Completed", message: "" }
})
const withTerminal = containerRecord({ id: "e".repeat(64), terminal: true })
const ready = podRecord()
const stopped = podRecord({ id: "b".repeat(64), state: { _tag: "NotReady", reason: "stopped" } })

const asked: Array<StreamRequest> = []

const pods = Layer.mock(Pods, {
  snapshot: Effect.succeed({
    pods: new Map([ready, stopped].map((record) => [record.id, record])),
    containers: new Map([running, exited, withTerminal].map((record) => [record.id, record]))
  })
})
const server = Layer.mock(StreamingServer, {
  urlFor: (request) =>
    Effect.as(
      Effect.sync(() => asked.push(request)),
      "http://127.0.0.1:1/x"
    )
})

const call = <A>(rpc: Effect.Effect<A, RpcError, Pods | StreamingServer>, streaming = server) =>
  Effect.exit(rpc).pipe(
    Effect.map((exit) => (Exit.isSuccess(exit) ? "OK" : statusOf(exit.cause))),
    Effect.provide(Layer.merge(pods, streaming))
  )

const code = <A>(rpc: Effect.Effect<A, RpcError, Pods | StreamingServer>) =>
  Effect.map(call(rpc), (answer) => (answer === "OK" ? answer : answer.name))

const streams = { stdin: true, stdout: true, stderr: true, tty: false }
const execRequest = { containerId: running.id, cmd: ["sh", "-c", "true"], ...streams }
const attachRequest = { containerId: running.id, ...streams }

describe("Exec and Attach", () => {
  for (const [name, rpc] of [
    ["Exec", (patch: object) => exec({ ...execRequest, ...patch })],
    ["Attach", (patch: object) => attach({ ...attachRequest, ...patch })]
  ] as const) {
    it.effect(`${name}: at least one stream, and no stderr beside a terminal`, () =>
      Effect.gen(function* () {
        const none = { stdin: false, stdout: false, stderr: false }
        assert.strictEqual(yield* code(rpc(none)), "INVALID_ARGUMENT")
        for (const one of ["stdin", "stdout", "stderr"]) {
          assert.strictEqual(yield* code(rpc({ ...none, [one]: true })), "OK")
        }
        assert.strictEqual(yield* code(rpc({ containerId: withTerminal.id, tty: true })), "INVALID_ARGUMENT")
        assert.strictEqual(yield* code(rpc({ containerId: withTerminal.id, tty: true, stderr: false })), "OK")
      })
    )

    it.effect(`${name}: a container that runs, by its id or the beginning of it`, () =>
      Effect.gen(function* () {
        assert.strictEqual(yield* code(rpc({ containerId: "" })), "INVALID_ARGUMENT")
        assert.strictEqual(yield* code(rpc({ containerId: "f00" })), "NOT_FOUND")
        assert.strictEqual(yield* code(rpc({ containerId: exited.id })), "FAILED_PRECONDITION")
        assert.strictEqual(yield* code(rpc({ containerId: "cc" })), "OK")
        assert.include(asked.at(-1), { containerId: running.id })
      })
    )
  }

  it.effect("Exec: a command, which the server gets with the streams", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* code(exec({ ...execRequest, cmd: [] })), "INVALID_ARGUMENT")
      assert.strictEqual(yield* code(exec({ ...execRequest, stdin: false })), "OK")
      assert.deepStrictEqual(asked.at(-1), {
        _tag: "Exec",
        containerId: running.id,
        command: ["sh", "-c", "true"],
        stdin: false,
        stdout: true,
        stderr: true,
        terminal: false
      })
    })
  )

  it.effect("Attach: a terminal only where the container has one; its bytes also without", () =>
    Effect.gen(function* () {
      const refused = yield* call(attach({ ...attachRequest, tty: true, stderr: false }))
      assert.deepInclude(refused, { name: "INVALID_ARGUMENT" })
      assert.match(refused === "OK" ? "" : refused.details, /tty: container c{64} was made without a terminal/)
      assert.strictEqual(yield* code(attach({ ...attachRequest, containerId: withTerminal.id })), "OK")
    })
  )
})

describe("PortForward", () => {
  it.effect("a pod that is ready, and ports that there are", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* code(portForward({ podSandboxId: "", port: [] })), "INVALID_ARGUMENT")
      assert.strictEqual(yield* code(portForward({ podSandboxId: "f00", port: [] })), "NOT_FOUND")
      assert.strictEqual(yield* code(portForward({ podSandboxId: stopped.id, port: [] })), "FAILED_PRECONDITION")
      for (const port of [0, -1, 65_536]) {
        assert.strictEqual(yield* code(portForward({ podSandboxId: ready.id, port: [80, port] })), "INVALID_ARGUMENT")
      }
      assert.strictEqual(yield* code(portForward({ podSandboxId: "aa", port: [80, 65_535] })), "OK")
      assert.deepStrictEqual(asked.at(-1), { _tag: "PortForward", podId: ready.id, ports: [80, 65_535] })
    })
  )
})

describe("a server with too many requests", () => {
  it.effect("is ResourceExhausted", () =>
    Effect.gen(function* () {
      const full = Layer.mock(StreamingServer, { urlFor: () => new TooManyRequests({ capacity: 1000 }) })
      const answer = yield* call(exec(execRequest), full)
      assert.deepInclude(answer, { code: status.RESOURCE_EXHAUSTED })
    })
  )
})
