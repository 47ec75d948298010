import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { normaliseResult, podIps } from "../../src/cni/CniResult.ts"

const dns = { nameservers: [], domain: "", search: [], options: [] }

describe("results", () => {
  it("of 1.0, with both families", () => {
    const result = Result.getOrThrow(
      normaliseResult(
        {
          cniVersion: "1.0.0",
          interfaces: [
            { name: "ckt-t0", mac: "aa:bb:cc:dd:ee:ff" },
            { name: "eth0", mac: "0a:bb:cc:dd:ee:ff", sandbox: "/run/netns/x", mtu: 1500 }
          ],
          ips: [
            { address: "10.214.3.7/24", gateway: "10.214.3.1", interface: 1 },
            { address: "fd00:214::7/64", interface: 1 },
            { address: "10.214.3.1/24", interface: 0 }
          ],
          routes: [{ dst: "0.0.0.0/0" }, { dst: "10.0.0.0/8", gw: "10.214.3.9", mtu: 1400 }],
          dns: { nameservers: ["10.96.0.10"], search: null }
        },
        "1.0.0"
      )
    )
    assert.deepStrictEqual(podIps(result), ["10.214.3.7", "fd00:214::7"])
    assert.deepStrictEqual(result.interfaces[0], { name: "ckt-t0", mac: "aa:bb:cc:dd:ee:ff", sandbox: "" })
    assert.deepStrictEqual(result.routes[1], { dst: "10.0.0.0/8", gw: "10.214.3.9" })
    assert.deepStrictEqual(result.dns, { ...dns, nameservers: ["10.96.0.10"] })
  })

  it("of 0.3.1, whose addresses name their family", () => {
    const ips = [{ version: "4", address: "10.1.2.3/16", gateway: "10.1.0.1", interface: null }]
    const result = Result.getOrThrow(normaliseResult({ ips, interfaces: null, dns: {} }, "0.3.1"))
    assert.deepStrictEqual(result, {
      cniVersion: "0.3.1",
      interfaces: [],
      ips: [{ address: "10.1.2.3/16", gateway: "10.1.0.1" }],
      routes: [],
      dns
    })
  })

  it("of 0.2.0, one address per family", () => {
    const raw = {
      ip4: { ip: "10.1.2.3/16", gateway: "10.1.0.1", routes: [{ dst: "0.0.0.0/0" }] },
      ip6: { ip: "fd00::3/64" },
      dns: { domain: "pod.test" }
    }
    const result = Result.getOrThrow(normaliseResult(raw, "0.2.0"))
    assert.deepStrictEqual(podIps(result), ["10.1.2.3", "fd00::3"])
    assert.deepStrictEqual(result.routes, [{ dst: "0.0.0.0/0", gw: "" }])
    assert.strictEqual(result.dns.domain, "pod.test")
  })

  it("refuses nonsense", () => {
    const refusal = (raw: Record<string, unknown>) => Result.getOrThrow(Result.flip(normaliseResult(raw, "1.0.0")))
    for (const address of ["10.1.2.3", "10.1.2.3/33", "x/24", "fd00::1/129", "10.1.2/24", "/24"]) {
      assert.include(refusal({ ips: [{ address }] }), JSON.stringify(address))
    }
    assert.include(refusal({ ips: [{ address: "10.1.2.3/24", interface: 2 }] }), "interface 2")
    assert.include(refusal({ ips: "none" }), "ips")
  })
})
