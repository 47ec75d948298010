import { describe, expect, it } from "vitest"
import { type Endpoint, routeOf, upgradeOf } from "../../src/streaming/upgrade.ts"

const route = (method: string, target: string) => routeOf({ method, target, headers: {} })

const upgrade = (headers: Readonly<Record<string, string>>, endpoint: Endpoint = "exec") =>
  upgradeOf({ method: "GET", target: "/", headers }, endpoint)

const spdy = (offered: string, endpoint?: Endpoint) =>
  upgrade({ connection: "Upgrade", upgrade: "SPDY/3.1", "x-stream-protocol-version": offered }, endpoint)

const webSocket = (offered: string | undefined, endpoint?: Endpoint) =>
  upgrade(
    {
      connection: "keep-alive, Upgrade",
      upgrade: "websocket",
      ...(offered === undefined ? {} : { "sec-websocket-protocol": offered })
    },
    endpoint
  )

describe("the path", () => {
  it.each(["exec", "attach", "portforward"])("names %s and a token, for GET and POST", (endpoint) => {
    expect(route("POST", `/${endpoint}/A-b_9`)).toEqual({ _tag: "Route", endpoint, token: "A-b_9" })
    expect(route("GET", `/${endpoint}/A-b_9?x=1`)).toMatchObject({ token: "A-b_9" })
  })

  it("of anything else is not found", () => {
    for (const target of ["/", "/exec", "/exec/", "/exec/a/b", "/exec/a%2F", "/other/abc", "*", "http://x/exec/abc"]) {
      expect(route("POST", target)).toMatchObject({ _tag: "Refuse", status: 404 })
    }
  })

  it("takes no other method", () => {
    for (const method of ["PUT", "HEAD", "DELETE", "OPTIONS"]) {
      const refused = route(method, "/exec/abc")
      expect(refused).toMatchObject({ status: 405, headers: [["Allow", "GET, POST"]] })
    }
  })
})

describe("SPDY", () => {
  it("takes the first of the client's versions that there is", () => {
    expect(spdy("v5.channel.k8s.io, v4.channel.k8s.io,v3.channel.k8s.io")).toEqual({
      _tag: "Spdy",
      protocol: "v4.channel.k8s.io",
      version: 4
    })
    expect(spdy("v2.channel.k8s.io, v4.channel.k8s.io")).toMatchObject({ version: 2 })
    expect(spdy("channel.k8s.io")).toMatchObject({ version: 1 })
    expect(spdy("portforward.k8s.io", "portforward")).toMatchObject({ protocol: "portforward.k8s.io" })
  })

  it("wants to know the client's versions", () => {
    expect(upgrade({ connection: "Upgrade", upgrade: "SPDY/3.1" })).toMatchObject({ _tag: "Refuse", status: 400 })
    expect(spdy(" , ")).toMatchObject({ status: 400 })
  })

  it("names what there is to a client that has none of it", () => {
    const name = "X-Accepted-Stream-Protocol-Versions"
    expect(spdy("v5.channel.k8s.io")).toMatchObject({
      status: 403,
      headers: [
        [name, "v4.channel.k8s.io"],
        [name, "v3.channel.k8s.io"],
        [name, "v2.channel.k8s.io"],
        [name, "channel.k8s.io"]
      ]
    })
    expect(spdy("v4.channel.k8s.io", "portforward")).toMatchObject({
      status: 403,
      headers: [[name, "portforward.k8s.io"]]
    })
  })
})

describe("WebSocket", () => {
  it.each([
    ["v5.channel.k8s.io", 5, false],
    ["v4.channel.k8s.io", 4, false],
    ["v4.base64.channel.k8s.io", 4, true],
    ["channel.k8s.io", 1, false],
    ["base64.channel.k8s.io", 1, true]
  ])("%s is version %i, base64 %s", (protocol, version, base64) => {
    const expected = { _tag: "WebSocket", protocol, version, base64, tunnel: false }
    expect(webSocket(protocol)).toEqual(expected)
    expect(webSocket(`unknown, ${protocol}`, "attach")).toEqual(expected)
  })

  it("without a subprotocol is the oldest, for port forwarding v4", () => {
    expect(webSocket(undefined)).toMatchObject({ protocol: "", version: 1, base64: false })
    expect(webSocket(undefined, "portforward")).toMatchObject({ protocol: "", version: 4, tunnel: false })
  })

  it("tunnels SPDY for port forwarding only", () => {
    const name = "SPDY/3.1+portforward.k8s.io"
    expect(webSocket(name, "portforward")).toMatchObject({ protocol: name, tunnel: true })
    expect(webSocket(name)).toMatchObject({ status: 403 })
    expect(webSocket("v5.channel.k8s.io", "portforward")).toMatchObject({ status: 403 })
  })
})

describe("anything else", () => {
  it("is no upgrade", () => {
    expect(upgrade({})).toMatchObject({ status: 400 })
    expect(upgrade({ upgrade: "SPDY/3.1", "x-stream-protocol-version": "v4.channel.k8s.io" })).toMatchObject({
      status: 400
    })
    expect(upgrade({ connection: "upgrade", upgrade: "h2c" })).toMatchObject({ status: 400 })
  })
})
