import { Metadata, status } from "@grpc/grpc-js"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Metric, Schema, Stream } from "effect"
import http2 from "node:http2"
import { connect } from "node:net"
import { Encoded } from "../../src/cri/adapter.ts"
import { InvalidRequest } from "../../src/pod/PodError.ts"
import { version } from "../../src/cri/runtime/version.ts"
import {
  ListContainersResponse,
  type StreamContainersResponse,
  type VersionResponse
} from "../../src/gen/runtime/v1/api.ts"
import { environment, eventually, LogLines, startServer } from "./support.ts"

const container = (id: string): ListContainersResponse["containers"][number] => ({
  id,
  podSandboxId: "",
  metadata: { name: "web", attempt: 0 },
  image: undefined,
  imageRef: "",
  state: 0,
  createdAt: 1n,
  labels: {},
  annotations: {},
  imageId: ""
})

const listOf = (id: string) => Effect.succeed({ containers: [container(id)] })

describe("adapter", () => {
  it.live("answers Unimplemented for an RPC that is not built", () =>
    Effect.gen(function* () {
      const server = yield* startServer({ runtime: { Version: version } })
      const error = yield* Effect.flip(server.call("PullImage", { image: undefined, auth: undefined }))
      assert.strictEqual(error.code, status.UNIMPLEMENTED)
    }).pipe(Effect.scoped, Effect.provide(environment()))
  )

  it.live("answers Version and nothing else while recovery runs", () =>
    Effect.gen(function* () {
      const server = yield* startServer({
        runtime: { Version: version, ListContainers: () => listOf("c1") },
        recovering: true
      })
      const answer = yield* server.call<VersionResponse>("Version", { version: "v1" })
      assert.deepStrictEqual(answer, {
        version: "0.1.0",
        runtimeName: "cricket",
        runtimeVersion: "0.1.0",
        runtimeApiVersion: "v1"
      })
      const error = yield* Effect.flip(server.call("ListContainers", { filter: undefined }))
      assert.strictEqual(error.code, status.UNAVAILABLE)
      assert.include(error.details, "still recovering")
    }).pipe(Effect.scoped, Effect.provide(environment()))
  )

  it.live("interrupts the handler when the client cancels", () =>
    Effect.gen(function* () {
      const started = yield* Deferred.make<void>()
      const interrupted = yield* Deferred.make<void>()
      const server = yield* startServer({
        runtime: {
          StopContainer: () =>
            Deferred.succeed(started, undefined).pipe(
              Effect.andThen(Effect.never),
              Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined))
            )
        }
      })
      const call = yield* Effect.forkChild(server.call("StopContainer", { containerId: "c1", timeout: 30n }))
      yield* Deferred.await(started)
      call.interruptUnsafe()
      yield* Deferred.await(interrupted).pipe(Effect.timeout("5 seconds"))
      const lines = yield* LogLines
      yield* eventually(() => lines.length > 0)
      assert.lengthOf(lines, 1)
      assert.match(lines[0]!, /level=warning msg="StopContainer was cancelled" .*container=c1 code=CANCELLED/)
    }).pipe(Effect.scoped, Effect.provide(environment()))
  )

  it.live("interrupts the handler when the client's deadline passes", () =>
    Effect.gen(function* () {
      const interrupted = yield* Deferred.make<void>()
      const server = yield* startServer({
        runtime: {
          StopContainer: () => Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, undefined))
        }
      })
      const request = { containerId: "c1", timeout: 30n }
      const error = yield* Effect.flip(server.call("StopContainer", request, { timeout: 100 }))
      assert.strictEqual(error.code, status.DEADLINE_EXCEEDED)
      yield* Deferred.await(interrupted).pipe(Effect.timeout("5 seconds"))
    }).pipe(Effect.scoped, Effect.provide(environment()))
  )

  it.live("maps a typed failure by the table and logs one line with ids and causes", () =>
    Effect.gen(function* () {
      const cause = new Error("the name is empty", { cause: new Error("no bytes") })
      const failure = Object.assign(new InvalidRequest({ field: "config.metadata", reason: "required" }), { cause })
      const server = yield* startServer({ runtime: { CreateContainer: () => Effect.fail(failure) } })
      const error = yield* Effect.flip(
        server.call("CreateContainer", {
          podSandboxId: "pod1",
          config: undefined,
          sandboxConfig: undefined
        })
      )
      assert.strictEqual(error.code, status.INVALID_ARGUMENT)
      assert.strictEqual(error.details, "invalid request: config.metadata: required")
      const lines = yield* LogLines
      assert.lengthOf(lines, 1)
      assert.include(lines[0], 'level=warning msg="CreateContainer failed: invalid request: config.metadata: required"')
      assert.match(lines[0]!, /rpc=CreateContainer sandbox=pod1 code=INVALID_ARGUMENT duration=\d\.\d{3}s /)
      assert.include(lines[0], 'cause="the name is empty: no bytes"')
    }).pipe(Effect.scoped, Effect.provide(environment()))
  )

  it.live("keeps the text of a defect from the client and puts it in the log", () =>
    Effect.gen(function* () {
      const server = yield* startServer({
        runtime: {
          StartContainer: () => Effect.die(new Error("index 7 of lanes")),
          RemoveContainer: () => {
            throw new Error("thrown before any effect")
          }
        }
      })
      for (const method of ["StartContainer", "RemoveContainer"]) {
        const error = yield* Effect.flip(server.call(method, { containerId: "c1" }))
        assert.strictEqual(error.code, status.INTERNAL)
        assert.strictEqual(error.details, "internal error; cricket's log has the details")
      }
      const lines = yield* LogLines
      assert.lengthOf(lines, 2)
      assert.match(lines[0]!, /level=error msg="StartContainer failed by a defect" .*index 7 of lanes/)
      assert.match(lines[1]!, /level=error msg="RemoveContainer failed by a defect" .*thrown before any effect/)
    }).pipe(Effect.scoped, Effect.provide(environment()))
  )

  it.live("treats a response that cannot be encoded as a defect", () =>
    Effect.gen(function* () {
      const server = yield* startServer({
        runtime: { ListContainers: () => Effect.succeed({ containers: undefined as never }) }
      })
      const error = yield* Effect.flip(server.call("ListContainers", { filter: undefined }))
      assert.strictEqual(error.code, status.INTERNAL)
      assert.match((yield* LogLines)[0]!, /level=error msg="ListContainers failed by a defect"/)
    }).pipe(Effect.scoped, Effect.provide(environment()))
  )

  it.live("refuses a response above the limit with a status and a log line", () =>
    Effect.gen(function* () {
      const server = yield* startServer({
        runtime: { ListContainers: () => listOf("c".repeat(200)) },
        maxResponseBytes: 100
      })
      const error = yield* Effect.flip(server.call("ListContainers", { filter: undefined }))
      assert.strictEqual(error.code, status.RESOURCE_EXHAUSTED)
      assert.include((yield* LogLines)[0], "grpc_max_send_msg_size")
    }).pipe(Effect.scoped, Effect.provide(environment()))
  )

  it.live("sends valid UTF-8 whatever strings a response or an error holds", () =>
    Effect.gen(function* () {
      const server = yield* startServer({
        runtime: {
          ListContainers: () => listOf("a\ud800b".concat("x".repeat(300), "\udc00")),
          StartContainer: () => new InvalidRequest({ field: "x", reason: "bad \ud800 name" }),
          RemoveContainer: () => new InvalidRequest({ field: "x", reason: "é".repeat(5000) })
        }
      })
      const { containers } = yield* server.call<ListContainersResponse>("ListContainers", { filter: undefined })
      assert.strictEqual(containers[0]?.id, "a\ufffdb".concat("x".repeat(300), "\ufffd"))
      const short = yield* Effect.flip(server.call("StartContainer", { containerId: "c1" }))
      assert.strictEqual(short.details, "invalid request: x: bad \ufffd name")
      const long = yield* Effect.flip(server.call("RemoveContainer", { containerId: "c1" }))
      assert.strictEqual(long.code, status.INVALID_ARGUMENT)
      assert.match(long.details, /^invalid request: x: é+…$/)
      assert.lengthOf(long.details, 4096)
    }).pipe(Effect.scoped, Effect.provide(environment()))
  )

  it.live("sends a response that is already encoded as it is", () =>
    Effect.gen(function* () {
      const bytes = Buffer.from(ListContainersResponse.encode({ containers: [container("cached")] }).finish())
      const server = yield* startServer({
        runtime: { ListContainers: () => Effect.succeed(new Encoded(bytes)) }
      })
      const { containers } = yield* server.call<ListContainersResponse>("ListContainers", { filter: undefined })
      assert.strictEqual(containers[0]?.id, "cached")
    }).pipe(Effect.scoped, Effect.provide(environment()))
  )

  it.live("counts calls, errors and latencies under CRI-O's names", () =>
    Effect.gen(function* () {
      const server = yield* startServer({
        runtime: { ListContainers: () => listOf("c1"), StartContainer: () => Effect.die("bug") }
      })
      yield* server.call("ListContainers", { filter: undefined })
      yield* Effect.flip(server.call("StartContainer", { containerId: "c1" }))
      const snapshot = (yield* Metric.snapshot).filter((metric) => metric.id.startsWith("container_runtime_crio_"))
      const counts = snapshot
        .filter((metric) => metric.type === "Counter")
        .map((metric) => `${metric.id}{${metric.attributes?.["operation"]}} ${metric.state.count}`)
        .sort()
      assert.deepStrictEqual(counts, [
        "container_runtime_crio_operations_errors_total{StartContainer} 1",
        "container_runtime_crio_operations_total{ListContainers} 1",
        "container_runtime_crio_operations_total{StartContainer} 1"
      ])
      const summaries = snapshot.filter((metric) => metric.type === "Summary")
      assert.deepStrictEqual(
        summaries.map((metric) => metric.id),
        Array(2).fill("container_runtime_crio_operations_latency_seconds_total")
      )
      assert.isTrue(summaries.every((metric) => metric.state.count === 1 && metric.state.sum > 0))
    }).pipe(Effect.scoped, Effect.provide(environment()), Effect.provideService(Metric.MetricRegistry, new Map()))
  )

  it.live("joins the trace that the kubelet has begun", () =>
    Effect.gen(function* () {
      const seen = yield* Deferred.make<{ name: string; trace: string }>()
      const server = yield* startServer({
        runtime: {
          ListContainers: Effect.fnUntraced(function* () {
            const span = yield* Effect.orDie(Effect.currentSpan)
            yield* Deferred.succeed(seen, { name: span.name, trace: span.traceId })
            return { containers: [] }
          })
        }
      })
      const metadata = new Metadata()
      const trace = "0af7651916cd43dd8448eb211c80319c"
      metadata.set("traceparent", `00-${trace}-b7ad6b7169203331-01`)
      const client = server.client as unknown as Record<string, (...args: ReadonlyArray<unknown>) => unknown>
      client["listContainers"]!.call(server.client, { filter: undefined }, metadata, () => {})
      assert.deepStrictEqual(yield* Deferred.await(seen), { name: "runtime.v1.RuntimeService/ListContainers", trace })
    }).pipe(Effect.scoped, Effect.provide(environment()))
  )
})

class Streamed extends Schema.TaggedError<Streamed>()("Streamed", {
  code: Schema.Int,
  ids: Schema.Array(Schema.String)
}) {}

/** Reads a server stream to its end; fails with what came before the error. */
const readAll = (client: object, method: string, message: object) =>
  Effect.callback<ReadonlyArray<string>, Streamed>((resume) => {
    const ids: Array<string> = []
    const functions = client as Record<string, (message: object) => NodeJS.ReadableStream & { cancel(): void }>
    const call = functions[method]!.call(client, message)
    call.on("data", (part: unknown) => {
      ids.push(...(part as StreamContainersResponse).containers.map(({ id }) => id))
    })
    call.on("error", (error) => resume(new Streamed({ code: (error as { code?: number }).code ?? -1, ids })))
    call.on("end", () => resume(Effect.succeed(ids)))
    return Effect.sync(() => call.cancel())
  })

/** A call whose client never reads; grpc-js's own client would take everything into memory. */
const openWithoutReading = (socketPath: string, path: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const session = http2.connect("http://localhost", { createConnection: () => connect(socketPath) })
      session.on("error", () => {})
      const stream = session.request({ ":method": "POST", ":path": path, "content-type": "application/grpc" })
      stream.on("error", () => {})
      stream.end(Buffer.alloc(5))
      return session
    }),
    (session) => Effect.sync(() => session.destroy())
  )

describe("adapter, server streams", () => {
  it.live("sends messages in order and ends", () =>
    Effect.gen(function* () {
      const server = yield* startServer({
        runtime: {
          StreamContainers: () => Stream.range(1, 100).pipe(Stream.map((n) => ({ containers: [container(`c${n}`)] })))
        }
      })
      const ids = yield* readAll(server.client, "streamContainers", { filter: undefined })
      assert.deepStrictEqual(
        ids,
        Array.from({ length: 100 }, (_, n) => `c${n + 1}`)
      )
    }).pipe(Effect.scoped, Effect.provide(environment()))
  )

  it.live("ends with the status of a failure in the middle", () =>
    Effect.gen(function* () {
      const server = yield* startServer({
        runtime: {
          StreamContainers: () =>
            Stream.concat(
              Stream.succeed({ containers: [container("c1")] }),
              Stream.fail(new InvalidRequest({ field: "filter", reason: "no" }))
            )
        }
      })
      const error = yield* Effect.flip(readAll(server.client, "streamContainers", { filter: undefined }))
      assert.deepStrictEqual([error.code, error.ids], [status.INVALID_ARGUMENT, ["c1"]])
      assert.include((yield* LogLines)[0], "StreamContainers failed: invalid request: filter: no")
    }).pipe(Effect.scoped, Effect.provide(environment()))
  )

  it.live("closes the stream's scope when the client leaves, without calling that a failure", () =>
    Effect.gen(function* () {
      const closed = yield* Deferred.make<void>()
      const server = yield* startServer({
        runtime: {
          GetContainerEvents: () => Stream.never.pipe(Stream.ensuring(Deferred.succeed(closed, undefined)))
        }
      })
      const reader = yield* Effect.forkChild(readAll(server.client, "getContainerEvents", {}))
      yield* Effect.sleep("100 millis")
      reader.interruptUnsafe()
      yield* Deferred.await(closed).pipe(Effect.timeout("5 seconds"))
      const lines = yield* LogLines
      yield* eventually(() => lines.length > 1)
      assert.match(lines[0]!, /level=debug msg="GetContainerEvents called"/)
      assert.match(lines[1]!, /level=debug msg="GetContainerEvents left by its client"/)
    }).pipe(Effect.scoped, Effect.provide(environment("debug")))
  )

  it.live("does not run ahead of a client that does not read", () =>
    Effect.gen(function* () {
      let made = 0
      const server = yield* startServer({
        runtime: {
          StreamContainers: () =>
            Stream.range(1, 10_000).pipe(
              Stream.rechunk(1),
              Stream.map(() => {
                made += 1
                return { containers: [container("x".repeat(16 * 1024))] }
              })
            )
        }
      })
      yield* openWithoutReading(server.path, "/runtime.v1.RuntimeService/StreamContainers")
      yield* eventually(() => made > 1)
      yield* Effect.sleep("300 millis")
      // HTTP/2 lets 64 KiB through before the client reads; one message waits behind them.
      assert.isAtMost(made, 5)
    }).pipe(Effect.scoped, Effect.provide(environment()))
  )
})
