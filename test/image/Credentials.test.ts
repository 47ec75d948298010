import { assert, describe, it } from "@effect/vitest"
import { Redacted, Result } from "effect"
import { type Credentials, fingerprint, fromAuthConfig, fromAuthFile } from "../../src/image/Credentials.ts"
import { parseReference } from "../../src/image/Reference.ts"
import { noAuth } from "./support/puller.ts"

const ref = (text: string) => Result.getOrThrow(parseReference(text))
const shown = (credentials: Credentials | undefined): string => {
  if (credentials === undefined) return "none"
  return credentials._tag === "Basic"
    ? `${credentials.username}:${Redacted.value(credentials.password)}`
    : `${credentials._tag} ${Redacted.value(credentials.token)}`
}

describe("fromAuthConfig", () => {
  const of = (auth: Partial<typeof noAuth>, reference = "quay.io/a/b", short = false) =>
    shown(fromAuthConfig({ ...noAuth, ...auth }, ref(reference), short))

  it("reads the fields in the order auth, user name, identity token, registry token", () => {
    assert.strictEqual(of({}), "none")
    assert.strictEqual(of({ auth: btoa("u:p:q"), username: "x" }), "u:p:q")
    assert.strictEqual(of({ auth: btoa("u:p\0\0") }), "u:p")
    assert.strictEqual(of({ auth: "no colon", username: "x", password: "y" }), "x:y")
    assert.strictEqual(of({ identityToken: "i", registryToken: "r" }), "IdentityToken i")
    assert.strictEqual(of({ registryToken: "r" }), "RegistryToken r")
  })

  it("is only for the host it was made for", () => {
    const user = { username: "u", password: "p" }
    assert.strictEqual(of({ ...user, serverAddress: "https://quay.io/v2/" }), "u:p")
    assert.strictEqual(of({ ...user, serverAddress: "other.io" }), "none")
    assert.strictEqual(of({ ...user, serverAddress: "https://index.docker.io/v1/" }, "busybox"), "u:p")
    assert.strictEqual(of(user, "busybox", true), "u:p")
    assert.strictEqual(of(user, "quay.io/prometheus/busybox", true), "none")
  })
})

describe("fromAuthFile", () => {
  const file = JSON.stringify({
    auths: {
      "quay.io": { auth: btoa("host:1") },
      "quay.io/team": { auth: btoa("team:2") },
      "quay.io/team/app": { auth: btoa("app:3") },
      "https://index.docker.io/v1/": { auth: btoa("hub:4") },
      "localhost:5000": { identitytoken: "idt" },
      "empty.io": {},
      __proto__: { auth: btoa("evil:0") }
    }
  })
  const of = (reference: string, content = file) => shown(Result.getOrUndefined(fromAuthFile(content, ref(reference))))

  it("takes the most specific entry", () => {
    assert.strictEqual(of("quay.io/team/app:1"), "app:3")
    assert.strictEqual(of("quay.io/team/other"), "team:2")
    assert.strictEqual(of("quay.io/teams/app"), "host:1")
    assert.strictEqual(of("busybox"), "hub:4")
    assert.strictEqual(of("localhost:5000/x"), "IdentityToken idt")
  })

  it("finds nothing where nothing is", () => {
    for (const name of ["empty.io/a", "other.io/a", "localhost:5001/x", "constructor.io/a"]) {
      assert.strictEqual(of(name), "none", name)
    }
    for (const content of ["", "[]", "{", '{"auths":null}', '{"auths":[1]}', '{"auths":{"quay.io":7}}']) {
      assert.strictEqual(of("quay.io/a", content), "none", content)
    }
  })
})

describe("fingerprint", () => {
  it("differs with the secret and does not contain it", () => {
    const basic = (password: string): Credentials => ({
      _tag: "Basic",
      username: "u",
      password: Redacted.make(password)
    })
    assert.notStrictEqual(fingerprint(basic("a")), fingerprint(basic("b")))
    assert.strictEqual(fingerprint(basic("a")), fingerprint(basic("a")))
    assert.notInclude(fingerprint(basic("hunter2")), "hunter2")
    assert.notStrictEqual(fingerprint(undefined), fingerprint(basic("")))
  })
})
