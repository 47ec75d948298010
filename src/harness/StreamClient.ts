/**
 * A client of the addresses that Exec, Attach and PortForward answer: a WebSocket with numbered channels, by the newest
 * subprotocol that the server takes.
 */
import { Effect, type Scope } from "effect"
import { type Connection, Sockets } from "../linux/Sockets.ts"
import { RpcFailure } from "./Cri.ts"
import type { Target } from "./Target.ts"
import { openWebSocket } from "./transport/webSocket.ts"

/** Of a command's stream. */
export const channels = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4 } as const

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

export interface OpenStream {
  /** The N of vN.channel.k8s.io; 1 without. */
  readonly version: number
  /** What came on a channel by now. */
  readonly received: (channel: number) => Buffer
  readonly send: (channel: number, data: Uint8Array) => Effect.Effect<void, RpcFailure>
  /** Nothing more comes on this channel; only from v5 on there is a way to say so. */
  readonly endChannel: (channel: number) => Effect.Effect<void, RpcFailure>
  /** Waits for what came to be enough; false when the server has ended the stream before. */
  readonly until: (isEnough: () => boolean) => Effect.Effect<boolean, RpcFailure>
  /** Waits for the server's end. Fails when there was none: the connection was lost. */
  readonly end: Effect.Effect<void, RpcFailure>
  readonly stopReading: Effect.Effect<void>
}

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
export const canOpen = (url: string): boolean => url.startsWith("http://") && URL.canParse(url)

/** A server on loopback is reached where the target is: in its namespaces, if it has any. */
const dial = Effect.fnUntraced(function* (
  target: Target,
  rpc: string,
  url: string
): Effect.fn.Return<Connection | undefined, RpcFailure, Sockets | Scope.Scope> {
  const { hostname, port } = new URL(url)
  const address = loopback[hostname]
  if (address === undefined) return undefined
  return yield* (yield* Sockets)
    .dial({ namespace: target.network, address, port: Number(port === "" ? 80 : port) })
    .pipe(Effect.mapError(({ code, message }) => new RpcFailure({ rpc, code, details: message })))
})

const protocolError = 1006

/** Cut when the scope closes, with whatever is on its way. */
export const openStream = Effect.fn("openStream")(function* (
  target: Target,
  rpc: string,
  url: string,
  kind: keyof typeof subprotocols
): Effect.fn.Return<OpenStream, RpcFailure, Sockets | Scope.Scope> {
  const failure = (code: string, details: string) => new RpcFailure({ rpc, code, details })
  if (!canOpen(url)) return yield* failure("ADDRESS", `${JSON.stringify(url)} is no address of HTTP`)
  const pieces = new Map<number, Array<Buffer>>()
  const onMessage = (message: Uint8Array | string) => {
    const isText = typeof message === "string"
    const channel = isText ? message.charCodeAt(0) - 0x30 : (message[0] ?? 0)
    const data = isText ? Buffer.from(message.slice(1), "base64") : Buffer.from(message.subarray(1))
    const before = pieces.get(channel)
    if (before === undefined) pieces.set(channel, [data])
    else before.push(data)
  }
  const limit = `${target.profile.limits.rpc} seconds` as const
  const connection = yield* dial(target, rpc, url)
  const opening = openWebSocket({ url, rpc, protocols: subprotocols[kind], connection, onMessage })
  const inTime = <A, E, R>(self: Effect.Effect<A, E, R>, what: string) =>
    Effect.timeoutOrElse(self, {
      duration: limit,
      orElse: () => Effect.fail(failure("DEADLINE_EXCEEDED", `${what} after ${limit}`))
    })
  const socket = yield* inTime(opening, "no answer to the handshake")
  const [, version = "1"] = /^v(\d)\./.exec(socket.protocol) ?? []
  const isBase64 = socket.protocol.includes("base64")
  const lost = Effect.suspend(() => failure("CONNECTION", "the connection was lost"))

  const received = (channel: number) => {
    const all = Buffer.concat(pieces.get(channel) ?? [])
    pieces.set(channel, [all])
    return all
  }
  const until = (isEnough: () => boolean): Effect.Effect<boolean> =>
    Effect.suspend(() => {
      if (isEnough()) return Effect.succeed(true)
      if (socket.closeCode() !== undefined) return Effect.succeed(false)
      return Effect.andThen(socket.changed, until(isEnough))
    })
  return {
    version: Number(version),
    received,
    send: (channel, data) =>
      socket.send(
        isBase64 ? `${channel}${Buffer.from(data).toString("base64")}` : Buffer.concat([Uint8Array.of(channel), data])
      ),
    endChannel: (channel) => (version === "5" ? socket.send(Uint8Array.of(endSignal, channel)) : Effect.void),
    until: (isEnough) => inTime(until(isEnough), "nothing came"),
    end: inTime(
      until(() => false),
      "no end"
    ).pipe(Effect.andThen(Effect.suspend(() => (socket.closeCode() === protocolError ? lost : Effect.void)))),
    stopReading: socket.stopReading
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
