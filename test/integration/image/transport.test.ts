/** The real HTTP client under the registry client: sockets reused, dropped and replaced. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Result, Stream } from "effect"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { getCACertificates } from "node:tls"
import { HttpClient } from "effect/http"
import { layer as httpTransport } from "../../../src/image/HttpTransport.ts"
import { PullSettings } from "../../../src/image/PullSettings.ts"
import { parseReference } from "../../../src/image/Reference.ts"
import { RegistryClient } from "../../../src/image/RegistryClient.ts"
import { defaultTransportPolicy, TransportPolicy } from "../../../src/image/TransportPolicy.ts"
import { parseDigest } from "../../../src/model/Digest.ts"
import { hostFiles } from "../../image/support/hostFiles.ts"
import { sha256 } from "../../image/support/images.ts"

const blob = new Uint8Array(3_000_000).map((_, index) => index % 251)
const descriptor = { digest: Result.getOrThrow(parseDigest(sha256(blob))), size: blob.length }

const serve = (handler: (request: IncomingMessage, response: ServerResponse) => void) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly port: number; readonly connections: () => number }>((resume) => {
      let connections = 0
      const server = createServer(handler)
      server.on("connection", () => connections++)
      server.listen(0, "127.0.0.1", () =>
        resume(Effect.succeed({ port: (server.address() as AddressInfo).port, connections: () => connections, server }))
      )
    }),
    (made) =>
      Effect.sync(() => (made as unknown as { server: ReturnType<typeof createServer> }).server.closeAllConnections())
  )

const open = (port: number) =>
  Effect.flatMap(RegistryClient, (client) =>
    client.open({ reference: Result.getOrThrow(parseReference(`127.0.0.1:${port}/app`)), insecure: true }, undefined)
  )

const services = RegistryClient.layer.pipe(
  Layer.provide(httpTransport),
  Layer.provide(PullSettings.layerTest()),
  Layer.provide(hostFiles({})),
  Layer.fresh
)

describe("HttpTransport", () => {
  it.live("uses one connection for requests in a row, also after errors", () =>
    Effect.gen(function* () {
      const server = yield* serve((request, response) => {
        const missing = request.url?.endsWith("missing") === true
        response.writeHead(missing ? 404 : 200, { "content-length": 2 })
        response.end("{}")
      })
      const source = yield* open(server.port)
      for (const name of ["a", "missing", "b", "missing", "c"]) yield* Effect.exit(source.manifest(name))
      // One was spent on the attempt to speak TLS.
      assert.strictEqual(server.connections(), 2)
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("lets an answer come to its end however many policies others use meanwhile", () =>
    Effect.gen(function* () {
      const held = yield* Deferred.make<ServerResponse>()
      const server = yield* serve((request, response) => {
        if (request.url !== "/slow") return void response.end("quick")
        response.write("begun, ")
        Deferred.doneUnsafe(held, Effect.succeed(response))
      })
      const [certificate] = getCACertificates("bundled")
      const client = yield* HttpClient.HttpClient
      /** Each number is a policy of its own. */
      const get = (path: string, policy: number) =>
        client.get(`http://127.0.0.1:${server.port}${path}`).pipe(
          Effect.flatMap(({ text }) => text),
          Effect.provideService(TransportPolicy, {
            ...defaultTransportPolicy,
            ca: Array.from({ length: policy }, () => certificate ?? "")
          })
        )
      const slow = yield* Effect.forkChild(get("/slow", 0))
      const response = yield* Deferred.await(held)
      for (let policy = 1; policy <= 20; policy++) assert.strictEqual(yield* get("/quick", policy), "quick")
      response.end("ended")
      assert.strictEqual(yield* Fiber.join(slow), "begun, ended")
    }).pipe(Effect.scoped, Effect.provide(Layer.fresh(httpTransport)))
  )

  it.live("closes the connection of a blob that nobody reads any more", () =>
    Effect.gen(function* () {
      let closed: () => void = () => {}
      const gone = new Promise<void>((resolve) => {
        closed = resolve
      })
      const server = yield* serve((request, response) => {
        if (request.url?.includes("/blobs/") !== true) return void response.end()
        response.on("close", closed)
        response.writeHead(200, { "content-length": blob.length })
        response.write(blob.subarray(0, 100_000))
      })
      const source = yield* open(server.port)
      const enough = yield* Deferred.make<void>()
      const reading = yield* Effect.forkChild(
        Stream.runFoldEffect(
          source.blob(descriptor),
          () => 0,
          (received, chunk) => {
            const sum = received + chunk.length
            return sum < 100_000 ? Effect.succeed(sum) : Effect.as(Deferred.succeed(enough, undefined), sum)
          }
        )
      )
      yield* Deferred.await(enough)
      yield* Fiber.interrupt(reading)
      yield* Effect.promise(() => gone)
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("takes up a blob where a killed connection left it", () =>
    Effect.gen(function* () {
      const ranges: Array<string | undefined> = []
      const server = yield* serve((request, response) => {
        if (request.url?.includes("/blobs/") !== true) return void response.end()
        const from = Number(/[0-9]+/.exec(request.headers.range ?? "0")?.[0])
        ranges.push(request.headers.range)
        const rest = blob.subarray(from)
        const head = {
          "content-length": rest.length,
          "content-range": `bytes ${from}-${blob.length - 1}/${blob.length}`
        }
        response.writeHead(from === 0 ? 200 : 206, head)
        if (ranges.length < 3)
          response.write(rest.subarray(0, 1_000_000), () => setTimeout(() => response.destroy(), 50))
        else response.end(rest)
      })
      const chunks = yield* Stream.runCollect((yield* open(server.port)).blob(descriptor))
      assert.strictEqual(sha256(Buffer.concat(chunks)), descriptor.digest)
      assert.deepStrictEqual(ranges, [undefined, "bytes=1000000-", "bytes=2000000-"])
    }).pipe(Effect.scoped, Effect.provide(services))
  )
})
