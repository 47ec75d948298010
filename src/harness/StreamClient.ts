/**
 * A client of the addresses that Exec, Attach and PortForward answer: a WebSocket with numbered channels, or streams of
 * SPDY/3.1, by the newest protocol that the server takes.
 */
import { Effect, type Scope } from "effect"
import { type Connection, Sockets } from "../linux/Sockets.ts"
import { RpcFailure } from "./Cri.ts"
import type { Target } from "./Target.ts"
import type { Signal } from "./transport/signal.ts"
import { openSpdy, type SpdyChannel } from "./transport/spdy.ts"
import { openWay, portOf } from "./transport/way.ts"
import { openWebSocket } from "./transport/webSocket.ts"

/** Of a command's stream. */
export const channels = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4 } as const

/** Of a forwarded port. */
export const portChannels = { data: 0, error: 1 } as const

/** The best first: v5 has an end of stdin, v4 the exit code; servers of before 1.30 know neither or only v4. */
const subprotocols = {
  command: [
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io"
  ],
  ports: ["v4.channel.k8s.io", "v4.base64.channel.k8s.io"]
} as const

const spdyProtocols = {
  command: ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"],
  ports: ["portforward.k8s.io"]
} as const

/** What is at the other end of an address. */
export type StreamKind = keyof typeof subprotocols

export interface OpenStream {
  /** The N of vN.channel.k8s.io; 1 without. */
  readonly version: number
  /** Whether a client can end a channel: with v5 of WebSockets, and over SPDY. */
  readonly canEnd: boolean
  /** What came on a channel by now. */
  readonly received: (channel: number) => Buffer
  readonly send: (channel: number, data: Uint8Array) => Effect.Effect<void, RpcFailure>
  /** Nothing more comes on this channel; does nothing where there is no way to say so. */
  readonly endChannel: (channel: number) => Effect.Effect<void, RpcFailure>
  /** Waits for what came to be enough; false when the server has ended the stream before. */
  readonly until: (isEnough: () => boolean) => Effect.Effect<boolean, RpcFailure>
  /** Waits for the server's end. Fails when there was none: the connection was lost. */
  readonly end: Effect.Effect<void, RpcFailure>
  readonly stopReading: Effect.Effect<void>
}

/** The channels of a command for SPDY, whose client opens what it has asked for in the request. */
export const commandStreams = (shape: { readonly stdin: boolean; readonly tty: boolean }): ReadonlyArray<SpdyChannel> =>
  (["error", ...(shape.stdin ? ["stdin"] : []), "stdout", ...(shape.tty ? ["resize"] : ["stderr"])] as const).map(
    (name): SpdyChannel => ({
      channel: channels[name as keyof typeof channels],
      headers: { streamtype: name },
      awaited: name !== "stdin" && name !== "resize"
    })
  )

/** The channels of one connection to a port for SPDY. */
export const portStreams = (port: number): ReadonlyArray<SpdyChannel> =>
  (["error", "data"] as const).map((streamtype) => ({
    channel: portChannels[streamtype],
    headers: { streamtype, port: String(port), requestid: "0" },
    awaited: true
  }))

/** First byte of v5's signal that a channel ends; the second one names it. */
const endSignal = 255

const loopback: Readonly<Record<string, "127.0.0.1" | "::1">> = {
  "127.0.0.1": "127.0.0.1",
  "0.0.0.0": "127.0.0.1",
  localhost: "127.0.0.1",
  "[::1]": "::1",
  "[::]": "::1"
}

/** Whether streams of this address can be opened from here. */
export const canOpen = (url: string): boolean => /^https?:\/\//.test(url) && URL.canParse(url)

/** A server on loopback is reached where the target is: in its namespaces, if it has any. */
const dial = Effect.fnUntraced(function* (
  target: Target,
  rpc: string,
  url: URL
): Effect.fn.Return<Connection | undefined, RpcFailure, Sockets | Scope.Scope> {
  const address = loopback[url.hostname]
  if (address === undefined) return undefined
  return yield* (yield* Sockets)
    .dial({ namespace: target.network, address, port: portOf(url) })
    .pipe(Effect.mapError(({ code, message }) => new RpcFailure({ rpc, code, details: message })))
})

const protocolError = 1006

/** Each channel of a forwarded port begins with the port's number. */
const portBytes = 2

/** One way or the other: data on numbered channels. */
interface Wire {
  readonly protocol: string
  readonly canEnd: boolean
  readonly ended: () => "in order" | "lost" | undefined
  readonly send: OpenStream["send"]
  readonly endChannel: OpenStream["endChannel"]
  readonly until: Signal["until"]
  readonly stopReading: Effect.Effect<void>
}

interface WireOptions {
  readonly url: URL
  readonly rpc: string
  readonly kind: StreamKind
  readonly connection: Connection | undefined
  readonly onData: (channel: number, data: Uint8Array) => void
}

const overWebSocket = Effect.fnUntraced(function* ({ url, rpc, kind, connection, onData }: WireOptions) {
  const onMessage = (message: Uint8Array | string) =>
    typeof message === "string"
      ? onData(message.charCodeAt(0) - 0x30, Buffer.from(message.slice(1), "base64"))
      : onData(message[0] ?? 0, message.subarray(1))
  const socket = yield* openWay(url, connection)
  const client = yield* openWebSocket({ url, rpc, protocols: subprotocols[kind], socket, onMessage })
  const { protocol, until, stopReading } = client
  const canEnd = protocol.startsWith("v5.")
  const isBase64 = protocol.includes("base64")
  const wire: Wire = {
    protocol,
    canEnd,
    ended: () => {
      const code = client.closeCode()
      return code === undefined ? undefined : code === protocolError ? "lost" : "in order"
    },
    send: (channel, data) =>
      client.send(
        isBase64 ? `${channel}${Buffer.from(data).toString("base64")}` : Buffer.concat([Uint8Array.of(channel), data])
      ),
    endChannel: (channel) => (canEnd ? client.send(Uint8Array.of(endSignal, channel)) : Effect.void),
    until,
    stopReading
  }
  return wire
})

const overSpdy = Effect.fnUntraced(function* (options: WireOptions, streams: ReadonlyArray<SpdyChannel>) {
  const { url, rpc, kind, connection, onData } = options
  const socket = yield* openWay(url, connection)
  const client = yield* openSpdy({ url, rpc, protocols: spdyProtocols[kind], socket, channels: streams, onData })
  const wire: Wire = { ...client, canEnd: true }
  return wire
})

/**
 * Cut when the scope closes, with whatever is on its way. A WebSocket, or with `streams` SPDY (`commandStreams`,
 * `portStreams`).
 */
export const openStream = Effect.fn("openStream")(function* (
  target: Target,
  rpc: string,
  address: string,
  kind: StreamKind,
  streams?: ReadonlyArray<SpdyChannel>
): Effect.fn.Return<OpenStream, RpcFailure, Sockets | Scope.Scope> {
  const failure = (code: string, details: string) => new RpcFailure({ rpc, code, details })
  if (!canOpen(address)) return yield* failure("ADDRESS", `${JSON.stringify(address)} is no address of HTTP`)
  const url = new URL(address)
  const pieces = new Map<number, Array<Uint8Array>>()
  const onData = (channel: number, data: Uint8Array) => {
    const before = pieces.get(channel)
    if (before === undefined) pieces.set(channel, [data])
    else before.push(data)
  }
  const limit = `${target.profile.limits.rpc} seconds` as const
  const inTime = <A, E, R>(self: Effect.Effect<A, E, R>, what: string) =>
    Effect.timeoutOrElse(self, {
      duration: limit,
      orElse: () => Effect.fail(failure("DEADLINE_EXCEEDED", `${what} after ${limit}`))
    })
  const options: WireOptions = { url, rpc, kind, connection: yield* dial(target, rpc, url), onData }
  const wire = yield* inTime(
    streams === undefined ? overWebSocket(options) : overSpdy(options, streams),
    "no answer to the handshake"
  )
  const [, version = "1"] = /^v(\d)\./.exec(wire.protocol) ?? []
  const heading = kind === "ports" && streams === undefined ? portBytes : 0

  const until = (isEnough: () => boolean): Effect.Effect<boolean> =>
    Effect.map(
      wire.until(() => isEnough() || wire.ended() !== undefined),
      isEnough
    )
  return {
    version: Number(version),
    canEnd: wire.canEnd,
    received: (channel) => {
      const all = Buffer.concat(pieces.get(channel) ?? [])
      pieces.set(channel, [all])
      return all.subarray(heading)
    },
    send: wire.send,
    endChannel: wire.endChannel,
    until: (isEnough) => inTime(until(isEnough), "nothing came"),
    end: inTime(
      until(() => false),
      "no end"
    ).pipe(
      Effect.andThen(
        Effect.suspend(() =>
          wire.ended() === "lost" ? Effect.fail(failure("CONNECTION", "the connection was lost")) : Effect.void
        )
      )
    ),
    stopReading: wire.stopReading
  }
})

/** How a command ended, as the error channel says. */
export interface CommandStatus {
  readonly text: string
  /** Undefined where that is no number, as before v4 for all but success. */
  readonly code: number | undefined
}

const codeOf = (text: string): number | undefined => {
  try {
    const { status, details } = JSON.parse(text) as {
      readonly status?: string
      readonly details?: { readonly causes?: ReadonlyArray<{ readonly reason: string; readonly message: string }> }
    }
    if (status === "Success") return 0
    const cause = details?.causes?.find(({ reason }) => reason === "ExitCode")
    return cause === undefined ? undefined : Number(cause.message)
  } catch {
    return undefined
  }
}

export const statusOf = ({ version, received }: OpenStream): CommandStatus => {
  const text = received(channels.error).toString("utf8")
  return { text, code: version < 4 ? (text === "" ? 0 : undefined) : codeOf(text) }
}
