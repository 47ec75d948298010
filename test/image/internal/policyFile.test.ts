import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { parsePolicy, requirementsOf, scopesOf } from "../../../src/image/internal/policyFile.ts"
import { parseReference } from "../../../src/image/Reference.ts"

const ref = (text: string) => Result.getOrThrow(parseReference(text))
const accept = [{ type: "insecureAcceptAnything" }]
const reject = [{ type: "reject" }]
const failureOf = (text: string) => {
  const parsed = parsePolicy(text)
  return Result.isFailure(parsed) ? parsed.failure : "it was taken"
}

describe("a policy file", () => {
  it("is read with requirements of every type, for registries alone", () => {
    const policy = Result.getOrThrow(
      parsePolicy(
        JSON.stringify({
          default: [{ type: "signedBy", keyType: "GPGKeys", keyPath: "/k" }, ...accept],
          transports: { docker: { "r.example/a": reject }, "docker-daemon": { "": accept } }
        })
      )
    )
    assert.deepStrictEqual(policy.default, ["signedBy", "insecureAcceptAnything"])
    assert.deepStrictEqual([...policy.scopes], [["r.example/a", ["reject"]]])
  })

  it.each([
    ["", /^is not JSON: /],
    ["[]", /^is no JSON object/],
    ["{}", /^default is no list/],
    ['{"default":[]}', /^default is no list/],
    ['{"default":[{"type":"rejct"}]}', /^default\[0\]: unknown type "rejct", known are insecureAcceptAnything, reject/],
    ['{"default":[{"type":"reject","keyPath":"/k"}]}', /^default\[0\]: reject has no "keyPath"/],
    ['{"default":[{"type":"reject"}],"transport":{}}', /^has the unknown key "transport"/],
    ['{"default":[{"type":"reject"}],"transports":[]}', /^transports is no object/],
    ['{"default":[{"type":"reject"}],"transports":{"docker":{"r":[]}}}', /^transports\.docker\["r"\] is no list/],
    [
      '{"default":[{"type":"reject"}],"\\u0064efault":[{"type":"insecureAcceptAnything"}]}',
      /^has the key "default" twice/
    ],
    ['{"default":[{"type":"signedBy","keyPath":"/a","keyPath":"/b"}]}', /^has the key "keyPath" twice/]
  ])("is refused whole: %s", (text, message) => assert.match(failureOf(text), message))

  it("may have equal keys in different objects, and braces in its texts", () =>
    assert.strictEqual(
      failureOf(
        '{"default":[{"type":"reject"}],"transports":{"docker":{"r/{\\"a":[{"type":"reject"}],"r/b":[{"type":"reject"}]}}}'
      ),
      "it was taken"
    ))
})

describe("what an image has to meet", () => {
  it("is looked up by the image, its repository and what is above it, wildcards of its host, and all", () => {
    assert.deepStrictEqual(scopesOf(ref("x.y.example.com:5000/a/b:1")), [
      "x.y.example.com:5000/a/b:1",
      "x.y.example.com:5000/a/b",
      "x.y.example.com:5000/a",
      "x.y.example.com:5000",
      "*.y.example.com",
      "*.example.com",
      "*.com",
      ""
    ])
    assert.strictEqual(scopesOf(ref("busybox"))[0], "docker.io/library/busybox:latest")
    const digest = `sha256:${"0123456789abcdef".repeat(4)}`
    assert.strictEqual(scopesOf(ref(`r.example/a:1@${digest}`))[0], `r.example/a@${digest}`)
  })

  it("is the most specific list alone", () => {
    const policy = Result.getOrThrow(
      parsePolicy(
        JSON.stringify({
          default: accept,
          transports: {
            docker: { "": reject, "r.example": accept, "r.example/team": reject, "r.example/team/app": accept }
          }
        })
      )
    )
    const of = (text: string) => requirementsOf(policy, ref(text))[0]
    assert.strictEqual(of("r.example/team/app:1"), "insecureAcceptAnything")
    assert.strictEqual(of("r.example/team/application:1"), "reject")
    assert.strictEqual(of("r.example/teams:1"), "insecureAcceptAnything")
    assert.strictEqual(of("s.example/team/app:1"), "reject")
  })

  it("is the default where no scope fits", () => {
    const policy = Result.getOrThrow(
      parsePolicy(JSON.stringify({ default: reject, transports: { docker: { "*.example": accept } } }))
    )
    assert.deepStrictEqual(requirementsOf(policy, ref("r.example:5000/a")), ["insecureAcceptAnything"])
    assert.deepStrictEqual(requirementsOf(policy, ref("example/a")), ["reject"])
  })
})
