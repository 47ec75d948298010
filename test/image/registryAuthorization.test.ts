import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import type { Credentials } from "../../src/image/Credentials.ts"
import { type Asked, type Handler, respond } from "./support/fakeRegistry.ts"
import { image, open, registry } from "./support/registryClient.ts"

const secret: Credentials = { _tag: "Basic", username: "me", password: Redacted.make("s3cret") }

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
