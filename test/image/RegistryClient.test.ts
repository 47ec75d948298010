import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Redacted, Result, Stream } from "effect"
import { TestClock } from "effect/testing"
import type { Credentials } from "../../src/image/Credentials.ts"
import { PullSettings, type PullSettingsShape } from "../../src/image/PullSettings.ts"
import { parseReference } from "../../src/image/Reference.ts"
import { RegistryClient } from "../../src/image/RegistryClient.ts"
import { parseDigest } from "../../src/model/Digest.ts"
import { type Answer, type Asked, type Handler, makeHttp, registryOf, respond } from "./support/fakeRegistry.ts"
import { hostFiles } from "./support/hostFiles.ts"
import { makeImage, sha256 } from "./support/images.ts"

const image = makeImage()
const registry = registryOf({ images: [image], tags: { v1: image.manifest } })
const secret: Credentials = { _tag: "Basic", username: "me", password: Redacted.make("s3cret") }

const open = (
  handler: Handler,
  options: {
    readonly credentials?: Credentials
    readonly insecure?: boolean
    readonly settings?: Partial<PullSettingsShape>
    readonly files?: Record<string, string>
  } = {}
) => {
  const http = makeHttp(handler)
  const session = Effect.flatMap(RegistryClient, (client) =>
    client.open(
      {
        reference: Result.getOrThrow(parseReference("r.example/team/app:v1")),
        insecure: options.insecure ?? false
      },
      options.credentials
    )
  ).pipe(
    Effect.provide(
      RegistryClient.layer.pipe(
        Layer.provide(http.layer),
        Layer.provide(PullSettings.layerTest(options.settings)),
        Layer.provide(hostFiles(options.files ?? {}))
      )
    )
  )
  return {
    log: http.log,
    manifest: (name = "v1") => Effect.flatMap(session, (source) => source.manifest(name)),
    blob: (bytes: Uint8Array, size = bytes.length) =>
      Effect.flatMap(session, (source) =>
        Stream.runCollect(source.blob({ digest: Result.getOrThrow(parseDigest(sha256(bytes))), size }))
      ).pipe(Effect.map((chunks) => Buffer.concat(chunks)))
  }
}

/** Everything that left for a host, as one text. */
const sentTo = (log: ReadonlyArray<Asked>, host: string): string =>
  JSON.stringify(log.filter(({ url }) => url.host === host).map((asked) => [asked.url.href, asked.headers, asked.body]))

const basicPair = Buffer.from("me:s3cret").toString("base64")

/** A registry behind a token server. */
const guarded =
  (realm: string, inner: Handler = registry): Handler =>
  (asked) => {
    if (asked.url.href.startsWith(realm)) return respond(200, JSON.stringify({ token: "tok" }))
    return asked.headers.authorization === "Bearer tok"
      ? inner(asked)
      : respond(401, "", { "www-authenticate": `Bearer realm="${realm}",service="svc",scope="repository:all:*"` })
  }

/** Runs an effect while the virtual clock moves on. */
const withTime = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.raceFirst(
    effect,
    Effect.forever(Effect.andThen(TestClock.adjust("5 seconds"), Effect.sleep(0)))
  ) as Effect.Effect<A, E, R>

describe("authorization", () => {
  it.effect("anonymous bearer token: own scope, whatever the challenge asks for", () =>
    Effect.gen(function* () {
      const client = open(guarded("https://auth.example/token"))
      assert.deepStrictEqual((yield* client.manifest()).bytes, image.manifest)
      const [token] = client.log.filter(({ url }) => url.host === "auth.example")
      assert.strictEqual(token?.url.searchParams.get("scope"), "repository:team/app:pull")
      assert.strictEqual(token?.url.searchParams.get("service"), "svc")
      assert.notProperty(token?.headers, "authorization")
    })
  )

  it.effect("credentials go to the token server, the token to the registry", () =>
    Effect.gen(function* () {
      const client = open(guarded("https://auth.example/token"), { credentials: secret })
      yield* client.manifest()
      assert.include(sentTo(client.log, "auth.example"), basicPair)
      assert.notInclude(sentTo(client.log, "r.example"), basicPair)
    })
  )

  it.effect("basic only where it is asked for", () =>
    Effect.gen(function* () {
      const handler: Handler = (asked) =>
        asked.headers.authorization === `Basic ${basicPair}`
          ? registry(asked)
          : respond(401, "", { "www-authenticate": 'Basic realm="r"' })
      const client = open(handler, { credentials: secret })
      yield* client.manifest()
      assert.notProperty(client.log[0]?.headers, "authorization")
      const refused = yield* Effect.flip(open(handler).manifest())
      assert.strictEqual(refused._tag, "RegistryDenied")
      assert.include(refused.message, "none is configured")
    })
  )

  it.effect("identity tokens are exchanged by POST, registry tokens are sent as they are", () =>
    Effect.gen(function* () {
      const credentials: Credentials = { _tag: "IdentityToken", token: Redacted.make("refresh-me") }
      const client = open(guarded("https://auth.example/token"), { credentials })
      yield* client.manifest()
      const [token] = client.log.filter(({ url }) => url.host === "auth.example")
      assert.strictEqual(token?.method, "POST")
      assert.include(token?.body ?? "", "grant_type=refresh_token&refresh_token=refresh-me")
      const direct = open(guarded("https://auth.example/token"), {
        credentials: { _tag: "RegistryToken", token: Redacted.make("tok") }
      })
      yield* direct.manifest()
      assert.strictEqual(direct.log.length, 1)
    })
  )

  it.effect("a token server by plain http never sees credentials", () =>
    Effect.gen(function* () {
      for (const realm of [
        "http://auth.example/token",
        "ftp://auth.example/token",
        "nonsense",
        "https://u:p@auth.example/"
      ]) {
        const client = open(guarded(realm), { credentials: secret })
        const error = yield* Effect.flip(client.manifest())
        assert.strictEqual(error._tag, "RegistryMisbehaved", realm)
        assert.isFalse(
          client.log.some(({ url }) => url.host === "auth.example"),
          realm
        )
      }
    })
  )

  it.effect("a registry that always answers 401 is asked three times, and the secret is in no message", () =>
    Effect.gen(function* () {
      const client = open(
        ({ url }) =>
          url.host === "auth.example"
            ? respond(200, JSON.stringify({ access_token: "tok" }))
            : respond(401, JSON.stringify({ errors: [{ code: "DENIED", message: "no\u001b[31m way" }] }), {
                "www-authenticate": 'Bearer realm="https://auth.example/t"'
              }),
        { credentials: secret }
      )
      const error = yield* Effect.flip(client.manifest())
      assert.strictEqual(error._tag, "RegistryDenied")
      assert.include(error.message, "DENIED: no [31m way")
      assert.notInclude(JSON.stringify(error) + String(error), "s3cret")
      assert.strictEqual(client.log.filter(({ url }) => url.host === "r.example").length, 3)
    })
  )

  it.effect("wrong basic credentials are not tried twice", () =>
    Effect.gen(function* () {
      const client = open(() => respond(401, "", { "www-authenticate": "Basic" }), { credentials: secret })
      const error = yield* Effect.flip(client.manifest())
      assert.include(error.message, 'user "me" are not accepted')
      assert.strictEqual(client.log.length, 2)
    })
  )

  it.effect("a token that expires between two blobs is renewed", () =>
    Effect.gen(function* () {
      let valid = "tok1"
      const client = open((asked) => {
        if (asked.url.host === "auth.example") return respond(200, JSON.stringify({ token: valid }))
        return asked.headers.authorization === `Bearer ${valid}`
          ? registry(asked)
          : respond(401, "", { "www-authenticate": 'Bearer realm="https://auth.example/t"' })
      })
      yield* client.manifest()
      valid = "tok2"
      yield* client.manifest()
      assert.include(sentTo(client.log, "r.example"), "tok2")
    })
  )
})

describe("redirects", () => {
  const redirecting =
    (location: string, status = 307): Handler =>
    (asked) =>
      asked.url.pathname.includes("/blobs/") && asked.url.host === "r.example"
        ? asked.headers.authorization === `Basic ${basicPair}`
          ? respond(status, "", { location })
          : respond(401, "", { "www-authenticate": "Basic" })
        : asked.url.host === "cdn.example"
          ? respond(200, image.layers[0])
          : registry(asked)

  it.effect("to another origin lose the credentials and keep the signed address byte by byte", () =>
    Effect.gen(function* () {
      const signed = "https://cdn.example/b?X-Sig=a%2Fb+c%20d&e"
      const client = open(redirecting(signed), { credentials: secret })
      const bytes = yield* client.blob(image.layers[0] ?? new Uint8Array())
      assert.deepStrictEqual(new Uint8Array(bytes), image.layers[0])
      assert.strictEqual(client.log.find(({ url }) => url.host === "cdn.example")?.url.href, signed)
      assert.notInclude(sentTo(client.log, "cdn.example"), "authorization")
    })
  )

  it.effect.each([
    ["http://cdn.example/b", "plain http"],
    ["file:///etc/shadow", "file:"],
    ["https://u:p@cdn.example/b", "credentials in the URL"],
    ["https://", "not a URL"],
    ["/loop", "more than 10 redirects"]
  ] as const)("to %s are not followed", ([location, reason]) =>
    Effect.gen(function* () {
      const handler: Handler = (asked) =>
        asked.url.pathname === "/loop" ? respond(302, "", { location: "/loop" }) : redirecting(location)(asked)
      const client = open(handler, { credentials: secret })
      const error = yield* Effect.flip(client.blob(image.layers[0] ?? new Uint8Array()))
      assert.strictEqual(error._tag, "RegistryMisbehaved")
      assert.include(error.message, reason)
      assert.isBelow(client.log.length, 15)
    })
  )
})

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
