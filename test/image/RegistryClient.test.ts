import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { TestClock } from "effect/testing"
import { type Answer, type Handler, registryOf, respond } from "./support/fakeRegistry.ts"
import { sha256 } from "./support/images.ts"
import { image, open, registry } from "./support/registryClient.ts"

/** Runs an effect while the virtual clock moves on. */
const withTime = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.raceFirst(
    effect,
    Effect.forever(Effect.andThen(TestClock.adjust("5 seconds"), Effect.sleep(0)))
  ) as Effect.Effect<A, E, R>

describe("manifests", () => {
  it.effect("a digest header that contradicts the bytes, and an endless body, are refused", () =>
    Effect.gen(function* () {
      const lying = yield* Effect.flip(
        open(() => respond(200, image.manifest, { "docker-content-digest": `sha256:${"0".repeat(64)}` })).manifest()
      )
      assert.strictEqual(lying._tag, "ContentMismatch")
      const endless = new ReadableStream<Uint8Array>({
        pull: (controller) => controller.enqueue(new Uint8Array(1024 * 1024))
      })
      const long = yield* Effect.flip(open(() => new Response(endless)).manifest())
      assert.include(long.message, "at most 4194304 bytes")
      const announced = yield* Effect.flip(open(() => respond(200, "x", { "content-length": "1073741824" })).manifest())
      assert.include(announced.message, "1073741824")
    })
  )

  it.effect("missing is said plainly, busy is asked again after the time it names", () =>
    Effect.gen(function* () {
      const missing = yield* Effect.flip(open(registry).manifest("v2"))
      assert.strictEqual(missing._tag, "NotInRegistry")
      assert.include(missing.message, "MANIFEST_UNKNOWN")
      let calls = 0
      const busy = open((asked) => (++calls < 3 ? respond(429, "", { "retry-after": "30" }) : registry(asked)))
      const start = yield* TestClock.testClockWith((clock) => Effect.succeed(clock.currentTimeMillisUnsafe()))
      yield* withTime(busy.manifest())
      const end = yield* TestClock.testClockWith((clock) => Effect.succeed(clock.currentTimeMillisUnsafe()))
      assert.isAtLeast(end - start, 40_000)
    })
  )

  it.effect("nobody there: three tries, one clear line", () =>
    Effect.gen(function* () {
      const client = open(() => "refuse")
      const error = yield* withTime(Effect.flip(client.manifest()))
      assert.strictEqual(error._tag, "RegistryUnreachable")
      assert.include(error.message, "no answer from r.example: connect ECONNREFUSED")
      assert.strictEqual(client.log.length, 3)
    })
  )

  it.effect("an insecure registry is asked by https first and by http where that fails", () =>
    Effect.gen(function* () {
      const plain: Handler = (asked) => (asked.url.protocol === "https:" ? "refuse" : registry(asked))
      const client = open(plain, { insecure: true })
      yield* client.manifest()
      assert.deepStrictEqual(
        client.log.map(({ url }) => url.href),
        ["https://r.example/v2/", "http://r.example/v2/", "http://r.example/v2/team/app/manifests/v1"]
      )
      const secure = yield* withTime(Effect.flip(open(plain).manifest()))
      assert.strictEqual(secure._tag, "RegistryUnreachable")
    })
  )

  it.effect("a server that takes the request and says nothing is given up", () =>
    Effect.gen(function* () {
      const client = open((): Answer => undefined)
      const error = yield* withTime(Effect.flip(client.manifest()))
      assert.strictEqual(error._tag, "TransferStalled")
    })
  )

  it.effect("a half pair of client certificates is an error", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        open(registry, { settings: { certsDirs: ["/certs"] }, files: { "/certs/r.example/a.cert": "x" } }).manifest()
      )
      assert.strictEqual(error._tag, "CertificatesUnusable")
      assert.include(error.message, "a.key is missing")
    })
  )
})

describe("blobs", () => {
  const blob = new Uint8Array(200_000).map((_, index) => index % 251)
  const holder = registryOf({ images: [{ ...image, blobs: new Map([[sha256(blob), blob]]) }], tags: {} })

  /** Sends the first bytes and then breaks off, hangs, or goes on slowly. */
  const partly = (count: number, then: "error" | "hang" | "close" | "drip") => {
    let sent = 0
    return new ReadableStream<Uint8Array>({
      async pull(controller) {
        if (sent < count) {
          controller.enqueue(blob.subarray(sent, count))
          sent = count
        } else if (then === "error") controller.error(new Error("socket hang up"))
        else if (then === "close") controller.close()
        else if (then === "hang") await new Promise(() => {})
      }
    })
  }

  const pieces = (bytes: Uint8Array, size = 33_333) => {
    let sent = 0
    return new ReadableStream<Uint8Array>({
      pull(controller) {
        if (sent >= bytes.length) return controller.close()
        controller.enqueue(bytes.subarray(sent, sent + size))
        sent += size
      }
    })
  }

  it.effect.each(["error", "close", "hang"] as const)("resumes after the connection ends by %s", (kind) =>
    Effect.gen(function* () {
      let first = true
      const client = open((asked) => {
        if (!first) return holder(asked)
        first = false
        return new Response(partly(70_000, kind), { headers: { "content-length": String(blob.length) } })
      })
      const bytes = yield* withTime(client.blob(blob))
      assert.isTrue(Buffer.from(blob).equals(bytes))
      assert.deepStrictEqual(
        client.log.map(({ headers }) => headers.range),
        [undefined, "bytes=70000-"]
      )
    })
  )

  it.effect("resumes also where the server ignores the range", () =>
    Effect.gen(function* () {
      let first = true
      const client = open(() => {
        if (!first) return new Response(pieces(blob))
        first = false
        return new Response(partly(70_000, "error"))
      })
      assert.isTrue(Buffer.from(blob).equals(yield* withTime(client.blob(blob))))
    })
  )

  it.effect("a server that drips is given up after a bounded number of tries", () =>
    Effect.gen(function* () {
      const client = open((asked) => {
        const from = Number(/[0-9]+/.exec(asked.headers.range ?? "0")?.[0])
        const drip = new ReadableStream<Uint8Array>({
          async pull(controller) {
            controller.enqueue(blob.subarray(from, from + 1))
            await new Promise(() => {})
          }
        })
        return from === 0
          ? new Response(drip)
          : new Response(drip, {
              status: 206,
              headers: { "content-range": `bytes ${from}-${blob.length - 1}/${blob.length}` }
            })
      })
      const error = yield* withTime(Effect.flip(client.blob(blob)))
      assert.strictEqual(error._tag, "TransferStalled")
      assert.strictEqual(client.log.length, 5)
    })
  )

  it.effect("pull_progress_timeout bounds the time without progress", () =>
    Effect.gen(function* () {
      const client = open((): Answer => new Response(partly(10, "hang")), {
        settings: { progressTimeout: Duration.seconds(30) }
      })
      const error = yield* withTime(Effect.flip(client.blob(blob)))
      assert.strictEqual(error._tag, "TransferStalled")
      assert.isAtMost(client.log.length, 3)
    })
  )

  it.effect("wrong lengths and ranges are refused", () =>
    Effect.gen(function* () {
      const long = yield* Effect.flip(open(() => new Response(blob)).blob(blob, 199_999))
      assert.include(long.message, "more than 199999 bytes")
      const announced = yield* Effect.flip(open(() => respond(200, blob, { "content-length": "200001" })).blob(blob))
      assert.include(announced.message, "200001 bytes instead of 200000 bytes")
      let first = true
      const shifted = open(() => {
        if (!first) return respond(206, blob.subarray(1), { "content-range": `bytes 1-199999/200000` })
        first = false
        return new Response(partly(70_000, "error"))
      })
      assert.include((yield* withTime(Effect.flip(shifted.blob(blob)))).message, "not the range from byte 70000")
      const short = yield* withTime(Effect.flip(open(() => new Response(blob.subarray(0, 5))).blob(blob)))
      assert.include(short.message, "ended after")
    })
  )
})
