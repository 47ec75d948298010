import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import { formatReference, isShortName, nameOf, parseReference, pinned } from "../../src/image/Reference.ts"

const hex = "0123456789abcdef".repeat(4)
const full = (text: string) => formatReference(Result.getOrThrow(parseReference(text)))
const refusal = (text: string) => {
  const result = parseReference(text)
  return Result.isFailure(result) ? result.failure.message : `accepted as ${formatReference(result.success)}`
}

describe("parseReference", () => {
  it.each([
    ["busybox", "docker.io/library/busybox"],
    ["busybox:1.36", "docker.io/library/busybox:1.36"],
    ["team/app", "docker.io/team/app"],
    ["docker.io/busybox", "docker.io/library/busybox"],
    ["index.docker.io/library/busybox", "docker.io/library/busybox"],
    ["docker.io/a/b/c", "docker.io/a/b/c"],
    ["localhost/app", "localhost/app"],
    ["localhost:5000/app:v1", "localhost:5000/app:v1"],
    ["127.0.0.1:5000/a_b/c.d/e--f:V-1_2.3", "127.0.0.1:5000/a_b/c.d/e--f:V-1_2.3"],
    ["[::1]:5000/app", "[::1]:5000/app"],
    ["Registry/app", "Registry/app"],
    [`quay.io/a/b@sha256:${hex}`, `quay.io/a/b@sha256:${hex}`],
    [`quay.io/a/b:v1@sha256:${hex}`, `quay.io/a/b:v1@sha256:${hex}`],
    ["registry:5000", "docker.io/library/registry:5000"]
  ])("%s → %s", (text, expected) => assert.strictEqual(full(text), expected))

  it.each([
    ["", "empty"],
    ["Busybox", "lower case"],
    ["quay.io/App", "lower case"],
    ["quay.io/", "the repository is empty"],
    ["quay.io/a//b", "not a repository"],
    ["quay.io/../b", "not a repository"],
    ["quay.io/a/", "not a repository"],
    ["quay.io/-a", "not a repository"],
    ["quay.io/a:", "not a tag"],
    ["quay.io/a:-x", "not a tag"],
    [`quay.io/a:${"x".repeat(129)}`, "not a tag"],
    ["quay.io:port/a", "not a host"],
    ["-x.io/a", "not a host"],
    ["http://quay.io/a", "not a host"],
    ["quay.io/a b", "not a repository"],
    ["quay.io/a@sha256:abc", "invalid digest"],
    [`quay.io/a@md5:${hex}`, "not supported"],
    [hex, "image id"],
    [`quay.io/${"a".repeat(248)}`, "longer than 255"],
    ["a".repeat(5000), "longer than"]
  ])("refuses %j: %s", (text, reason) => assert.include(refusal(text), reason))

  const word = Schema.String.pipe(Schema.check(Schema.isPattern(/^[a-z0-9]{1,8}$/)))
  it.effect.prop(
    "reads back what it writes",
    {
      host: Schema.Literals(["docker.io", "localhost:5000", "quay.io", "10.0.0.1", "[fe80::1]:80"]),
      path: Schema.NonEmptyArray(word),
      tag: Schema.optionalKey(word),
      digest: Schema.Boolean
    },
    ({ host, path, tag, digest }) =>
      Effect.sync(() => {
        const text = `${host}/${path.join("/")}${tag === undefined ? "" : `:${tag}`}${digest ? `@sha256:${hex}` : ""}`
        const once = parseReference(text)
        if (path.join("/").length + host.length > 200) return
        const again = parseReference(formatReference(Result.getOrThrow(once)))
        assert.deepStrictEqual(Result.getOrThrow(again), Result.getOrThrow(once))
      }),
    { arbitrary: { runs: 300, seed: 11 } }
  )

  it.effect.prop(
    "never throws and never lets a path out of its repository",
    { text: Schema.String },
    ({ text }) =>
      Effect.sync(() => {
        const result = parseReference(`quay.io/${text}`)
        if (Result.isSuccess(result)) assert.notMatch(result.success.path, /\.\.|^\/|\/\/|[\s?#%]/)
      }),
    { arbitrary: { runs: 300, seed: 12 } }
  )
})

describe("names", () => {
  it("short names have no registry", () => {
    for (const text of ["busybox", "a/b:1", "registry:5000", `a@sha256:${hex}`]) assert.isTrue(isShortName(text), text)
    for (const text of ["localhost/a", "a.b/c", "a:1/c"]) assert.isFalse(isShortName(text), text)
  })

  it("pins by digest, else by tag, else by latest", () => {
    const pin = (text: string) => formatReference(pinned(Result.getOrThrow(parseReference(text))))
    assert.strictEqual(pin("busybox"), "docker.io/library/busybox:latest")
    assert.strictEqual(pin("quay.io/a:1"), "quay.io/a:1")
    assert.strictEqual(pin(`quay.io/a:1@sha256:${hex}`), `quay.io/a@sha256:${hex}`)
    assert.strictEqual(nameOf(Result.getOrThrow(parseReference("busybox:1"))), "docker.io/library/busybox")
  })
})
