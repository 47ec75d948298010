import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { parseChallenges } from "../../src/image/internal/challenge.ts"

const read = (header: string) =>
  parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)])

describe("parseChallenges", () => {
  it("reads what registries send", () => {
    assert.deepStrictEqual(
      read('Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"'),
      [
        [
          "bearer",
          { realm: "https://auth.docker.io/token", service: "registry.docker.io", scope: "repository:a/b:pull,push" }
        ]
      ]
    )
    assert.deepStrictEqual(read('Basic realm="Registry \\"x\\""'), [["basic", { realm: 'Registry "x"' }]])
    assert.deepStrictEqual(read('Negotiate, BASIC Realm=plain , bearer realm="https://x" , error = "e"'), [
      ["negotiate", {}],
      ["basic", { realm: "plain" }],
      ["bearer", { realm: "https://x", error: "e" }]
    ])
    assert.deepStrictEqual(read(""), [])
  })

  it.effect.prop(
    "ends on any input",
    { header: Schema.String },
    ({ header }) => Effect.sync(() => assert.isArray(parseChallenges(`Bearer ${header}`))),
    { arbitrary: { runs: 300, seed: 3 } }
  )

  it("takes linear time on long hostile headers", () => {
    const start = performance.now()
    parseChallenges(`Bearer realm="${"\\".repeat(200_000)}`)
    parseChallenges("a=".repeat(200_000))
    assert.isBelow(performance.now() - start, 2000)
  })
})
