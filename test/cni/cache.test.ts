import { assert, describe, it } from "@effect/vitest"
import { Option } from "effect"
import { readFileSync } from "node:fs"
import { decodeCached, encodeCached } from "../../src/cni/internal/cache.ts"

const fixture = readFileSync(new URL("fixtures/cniCacheV1.json", import.meta.url), "utf8")

describe("record of an attachment", () => {
  it("reads what libcni has written", () => {
    const { request, result } = Option.getOrThrow(decodeCached("/f", fixture))
    assert.strictEqual(request.network.name, "podman")
    assert.strictEqual(request.network.version, "0.4.0")
    assert.deepStrictEqual(
      request.network.plugins.map((plugin) => plugin.type),
      ["bridge", "portmap"]
    )
    assert.strictEqual(request.interfaceName, "eth0")
    assert.deepStrictEqual(request.cniArgs[0], ["IgnoreUnknown", "1"])
    assert.deepStrictEqual(Object.keys(request.capabilityArgs), ["portMappings"])
    assert.strictEqual(result?.["cniVersion"], "0.4.0")
  })

  it("writes the same bytes again", () => {
    const { request, result } = Option.getOrThrow(decodeCached("/f", fixture))
    assert.strictEqual(encodeCached(request, result ?? {}), JSON.stringify(JSON.parse(fixture)))
  })

  it("takes the version in which the plugins answered", () => {
    const config = { cniVersion: "0.4.0", cniVersions: ["1.0.0"], name: "podman", plugins: [{ type: "bridge" }] }
    const cached = { ...JSON.parse(fixture), config: Buffer.from(JSON.stringify(config)).toString("base64") }
    assert.strictEqual(Option.getOrThrow(decodeCached("/f", JSON.stringify(cached))).request.network.version, "0.4.0")
  })

  it("passes over what is cut off or of another kind", () => {
    assert.isTrue(Option.isNone(decodeCached("/f", "")))
    assert.isTrue(Option.isNone(decodeCached("/f", fixture.slice(0, 200))))
    assert.isTrue(Option.isNone(decodeCached("/f", fixture.replace("cniCacheV1", "cniCacheV2"))))
    const evil = { cniVersion: "0.4.0", name: "n", type: "../../bin/sh" }
    const cached = { ...JSON.parse(fixture), config: Buffer.from(JSON.stringify(evil)).toString("base64") }
    assert.isTrue(Option.isNone(decodeCached("/f", JSON.stringify(cached))))
  })
})
