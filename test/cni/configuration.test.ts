import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { parseNetworkList } from "../../src/cni/internal/configuration.ts"

const parse = (value: unknown) => parseNetworkList(typeof value === "string" ? value : JSON.stringify(value))
const succeed = (value: unknown) => Result.getOrThrow(parse(value))
const refusal = (value: unknown) => Result.getOrThrow(Result.flip(parse(value)))

describe("network configuration", () => {
  it("reads a list and keeps what only plugins understand", () => {
    const list = succeed({
      cniVersion: "0.4.0",
      name: "net_1.a-b",
      disableCheck: "true",
      plugins: [
        { type: "bridge", vlan: 7, ipam: { type: "host-local" } },
        { type: "portmap", capabilities: { portMappings: true, dns: false } }
      ]
    })
    assert.deepStrictEqual(list.versions, ["0.4.0"])
    assert.isTrue(list.disableCheck)
    assert.isFalse(list.disableGc)
    assert.deepStrictEqual(list.plugins[0]?.raw, { type: "bridge", vlan: 7, ipam: { type: "host-local" } })
    assert.deepStrictEqual(list.plugins[1]?.capabilities, ["portMappings"])
  })

  it("takes a single plugin as a list of one", () => {
    const list = succeed({ cniVersion: "0.3.1", name: "solo", type: "ptp", capabilities: null })
    assert.deepStrictEqual(
      list.plugins.map((plugin) => plugin.type),
      ["ptp"]
    )
  })

  it("orders the offered versions best first and leaves out those of the future", () => {
    const plugins = [{ type: "bridge" }]
    const versions = (extra: object) => succeed({ name: "n", plugins, ...extra }).versions
    assert.deepStrictEqual(versions({ cniVersion: "0.4.0", cniVersions: ["1.1.0", "9.0.0", "1.0.0"] }), [
      "1.1.0",
      "1.0.0",
      "0.4.0"
    ])
    assert.deepStrictEqual(versions({}), ["0.1.0"])
    assert.include(refusal({ name: "n", plugins, cniVersion: "2.0.0" }), "cniVersion 2.0.0 is not supported")
  })

  for (const type of ["../../bin/sh", "/bin/sh", "a/b", "..", "."]) {
    it(`refuses the plugin type ${type}`, () => {
      assert.include(refusal({ name: "n", plugins: [{ type: "bridge" }, { type }] }), "plugins[1]: type")
      assert.include(refusal({ name: "n", type }), "is a path")
    })
  }

  it("says what is wrong", () => {
    assert.include(refusal("{"), "not a JSON object")
    assert.include(refusal([]), "not a JSON object")
    assert.include(refusal({ plugins: [{ type: "bridge" }] }), "name")
    assert.include(refusal({ name: "../evil", plugins: [{ type: "bridge" }] }), '"../evil"')
    assert.include(refusal({ name: "n", plugins: [] }), "plugins is empty")
    assert.include(refusal({ name: "n", plugins: [{}] }), "plugins[0]: ")
    assert.include(refusal({ name: "n", plugins: [{ type: 7 }] }), "type")
  })
})
