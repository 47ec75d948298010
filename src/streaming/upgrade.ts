/** The HTTP request that begins a streaming connection: which protocol it becomes, or how it is refused. Pure. */
import type { RemoteCommandVersion } from "./statusMessage.ts"

/** What of a request matters here. Header values as Node joins repeated ones: with ", ". */
export interface UpgradeRequest {
  readonly method: string
  /** With its query, if any. */
  readonly target: string
  readonly headers: Readonly<Record<string, string | undefined>>
}

/** Answered in HTTP, and the connection closed. */
export interface Refusal {
  readonly _tag: "Refuse"
  readonly status: 400 | 403 | 404 | 405
  readonly headers: ReadonlyArray<readonly [name: string, value: string]>
  readonly text: string
}

export interface SpdyUpgrade {
  readonly _tag: "Spdy"
  /** As it is echoed to the client. */
  readonly protocol: string
  readonly version: Exclude<RemoteCommandVersion, 5>
}

export interface WebSocketUpgrade {
  readonly _tag: "WebSocket"
  /** Empty when the client named none. */
  readonly protocol: string
  readonly version: RemoteCommandVersion
  /** Text messages with base64 in them instead of binary ones. */
  readonly base64: boolean
  /** SPDY through the messages of a WebSocket. */
  readonly tunnel: boolean
}

export type Upgrade = SpdyUpgrade | WebSocketUpgrade

export type Endpoint = "exec" | "attach" | "portforward"

const endpoints: ReadonlySet<string> = new Set<Endpoint>(["exec", "attach", "portforward"])

export const refusal = (status: Refusal["status"], text: string, headers: Refusal["headers"] = []): Refusal => ({
  _tag: "Refuse",
  status,
  headers,
  text
})

/** The same for a token that never was, was used or is too old: the answer tells nothing. */
export const unknownToken: Refusal = refusal(404, "404 page not found")

export interface Route {
  readonly _tag: "Route"
  readonly endpoint: Endpoint
  readonly token: string
}

/** Which stream the path names. Methods first, as a router has it. */
export const routeOf = ({ method, target }: UpgradeRequest): Route | Refusal => {
  const [, endpoint = "", token = ""] = /^\/([a-z]+)\/([A-Za-z0-9_-]{1,64})(?:\?.*)?$/s.exec(target) ?? []
  if (!endpoints.has(endpoint)) return unknownToken
  if (method !== "GET" && method !== "POST") return refusal(405, "405: Method Not Allowed", [["Allow", "GET, POST"]])
  return { _tag: "Route", endpoint: endpoint as Endpoint, token }
}

const remoteCommandSpdy: ReadonlyMap<string, SpdyUpgrade["version"]> = new Map([
  ["v4.channel.k8s.io", 4],
  ["v3.channel.k8s.io", 3],
  ["v2.channel.k8s.io", 2],
  ["channel.k8s.io", 1]
])

const portForwardSpdy: ReadonlyMap<string, SpdyUpgrade["version"]> = new Map([["portforward.k8s.io", 1]])

const channels = (protocol: string, version: RemoteCommandVersion, base64 = false): WebSocketUpgrade => ({
  _tag: "WebSocket",
  protocol,
  version,
  base64,
  tunnel: false
})

const remoteCommandWebSocket: ReadonlyArray<WebSocketUpgrade> = [
  channels("v5.channel.k8s.io", 5),
  channels("v4.channel.k8s.io", 4),
  channels("v4.base64.channel.k8s.io", 4, true),
  channels("channel.k8s.io", 1),
  channels("base64.channel.k8s.io", 1, true)
]

const portForwardWebSocket: ReadonlyArray<WebSocketUpgrade> = [
  { ...channels("SPDY/3.1+portforward.k8s.io", 1), tunnel: true },
  channels("v4.channel.k8s.io", 4),
  channels("v4.base64.channel.k8s.io", 4, true)
]

const listOf = (header: string | undefined): ReadonlyArray<string> =>
  (header ?? "")
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "")

const spdyUpgrade = (offered: ReadonlyArray<string>, endpoint: Endpoint): SpdyUpgrade | Refusal => {
  const supported = endpoint === "portforward" ? portForwardSpdy : remoteCommandSpdy
  if (offered.length === 0) return refusal(400, "unable to upgrade: X-Stream-Protocol-Version is required")
  // The client's order wins.
  for (const protocol of offered) {
    const version = supported.get(protocol)
    if (version !== undefined) return { _tag: "Spdy", protocol, version }
  }
  const accepted = Array.from(supported.keys(), (name) => ["X-Accepted-Stream-Protocol-Versions", name] as const)
  const text = `unable to upgrade: unable to negotiate protocol: client supports ${offered.join(", ")}, server supports ${Array.from(supported.keys()).join(", ")}`
  return refusal(403, text, accepted)
}

const webSocketUpgrade = (offered: ReadonlyArray<string>, endpoint: Endpoint): WebSocketUpgrade | Refusal => {
  const supported = endpoint === "portforward" ? portForwardWebSocket : remoteCommandWebSocket
  if (offered.length === 0) return channels("", endpoint === "portforward" ? 4 : 1)
  for (const protocol of offered) {
    const found = supported.find((one) => one.protocol === protocol)
    if (found !== undefined) return found
  }
  const names = supported.map(({ protocol }) => protocol).join(", ")
  return refusal(403, `none of the WebSocket subprotocols ${offered.join(", ")} is served here; there are: ${names}`)
}

/** What a request with a good token becomes. */
export const upgradeOf = ({ headers }: UpgradeRequest, endpoint: Endpoint): Upgrade | Refusal => {
  const lower = (name: string) => listOf(headers[name]).map((item) => item.toLowerCase())
  const upgrades = lower("upgrade")
  if (lower("connection").includes("upgrade")) {
    if (upgrades.includes("websocket")) return webSocketUpgrade(listOf(headers["sec-websocket-protocol"]), endpoint)
    if (upgrades.includes("spdy/3.1")) return spdyUpgrade(listOf(headers["x-stream-protocol-version"]), endpoint)
  }
  const sent = `Connection: ${headers["connection"] ?? ""}; Upgrade: ${headers["upgrade"] ?? ""}`
  return refusal(
    400,
    `unable to upgrade: this URL serves SPDY/3.1 and WebSocket connections only, and the request says ${sent}`
  )
}
