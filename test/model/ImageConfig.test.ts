import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { parseImageConfig } from "../../src/model/ImageConfig.ts"
import { maxDocumentBytes } from "../../src/model/ImageDocument.ts"

const bytes = (value: unknown) => new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value))
const diffId = `sha256:${"1".repeat(64)}`
const rootfs = { type: "layers", diff_ids: [diffId] }

const refusal = (input: Uint8Array): string => {
  const result = parseImageConfig(input)
  return Result.isFailure(result) ? result.failure.message : "accepted"
}

describe("parseImageConfig", () => {
  it("reads what Go writes: null for empty slices, maps and structs", () => {
    const config = Result.getOrThrow(
      parseImageConfig(
        bytes({
          architecture: "amd64",
          os: "linux",
          created: null,
          config: { User: null, Env: null, Entrypoint: null, Cmd: ["sh"], Labels: null, Volumes: { "/data": {} } },
          rootfs,
          history: null
        })
      )
    )
    assert.deepStrictEqual(config.config, {
      User: "",
      Env: [],
      Entrypoint: [],
      Cmd: ["sh"],
      WorkingDir: "",
      Volumes: { "/data": {} },
      ExposedPorts: {},
      Labels: {},
      StopSignal: ""
    })
    assert.notProperty(config, "created")
    assert.deepStrictEqual(config.history, [])
  })

  it("fills in a missing config", () => {
    const config = Result.getOrThrow(parseImageConfig(bytes({ rootfs })))
    assert.strictEqual(config.os, "")
    assert.deepStrictEqual(config.config.Env, [])
  })

  it("keeps labels named like object members as plain labels", () => {
    const text = `{"config":{"Labels":{"__proto__":"x","constructor":"y"}},"rootfs":${JSON.stringify(rootfs)}}`
    const { Labels } = Result.getOrThrow(parseImageConfig(bytes(text))).config
    assert.deepStrictEqual(Object.entries(Labels), [
      ["__proto__", "x"],
      ["constructor", "y"]
    ])
    assert.strictEqual(Object.getPrototypeOf(Labels), Object.prototype)
  })

  it("refuses what is not a configuration", () => {
    assert.include(refusal(bytes("[]")), "not a JSON object")
    assert.include(refusal(bytes("{")), "not JSON")
    assert.include(refusal(Uint8Array.of(0x7b, 0xff, 0x7d)), "not UTF-8")
    assert.include(refusal(bytes({ os: "linux" })), "rootfs")
    assert.include(refusal(bytes({ rootfs: { type: "layers", diff_ids: ["sha256:../x"] } })), "diff_ids")
    assert.include(refusal(bytes({ rootfs, config: { Env: "A=b" } })), "Env")
    assert.include(refusal(new Uint8Array(maxDocumentBytes + 1)), "at most")
  })
})
