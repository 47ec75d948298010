/** The streaming server of the runtime that only pretends: commands run on this machine, by whatever protocol is wanted. */
import { Effect, Stream } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { createServer, type ServerResponse } from "node:http"
import { createServer as createTlsServer } from "node:https"
import { type AddressInfo, type Socket } from "node:net"
import type { Duplex } from "node:stream"
import { WebSocketServer } from "ws"
import type { Forward as SpdyForward } from "../../src/streaming/Session.ts"
import { type Listener, type Peer, serveSpdyCommand, serveSpdyForward } from "./fakeSpdy.ts"

export type StreamFault =
  | "none"
  /** An address can be opened again. */
  | "token-again"
  /** Every command has succeeded. */
  | "no-exit-code"
  /** The end of what was written is missing. */
  | "cut-output"
  /** stdout and stderr are one. */
  | "one-output"
  /** What the client writes reaches nobody. */
  | "no-stdin"
  /** The end of stdin is not passed on. */
  | "open-stdin"
  /** What comes back from a forwarded port is something else. */
  | "bad-forward"
  /** A forward to a port where nobody listens stays open and says nothing. */
  | "silent-forward"

export const subprotocols = ["v5", "v4", "v4.base64", "base64", ""].map((name) =>
  `${name}.channel.k8s.io`.replace(/^\./, "")
)

interface Command {
  readonly cmd: ReadonlyArray<string>
  readonly stdin: boolean
  readonly tty: boolean
}

interface Forward {
  readonly port: number
  /** Somebody listens there, and sends back what comes. */
  readonly open: boolean
}

type Wanted = Command | Forward

const endSignal = 255

const statusOf = (code: number): string =>
  code === 0
    ? JSON.stringify({ status: "Success" })
    : JSON.stringify({
        status: "Failure",
        reason: "NonZeroExitCode",
        details: { causes: [{ reason: "ExitCode", message: String(code) }] }
      })

export const startFakeStreams = async (
  fault: StreamFault,
  protocol = "v5.channel.k8s.io",
  tls?: { readonly cert: string; readonly key: string }
) => {
  const tokens = new Map<string, Wanted>()
  const children = new Set<ChildProcess>()
  const answer = (_: unknown, response: ServerResponse) => void response.writeHead(404).end()
  const server = tls === undefined ? createServer(answer) : createTlsServer(tls, answer)
  const sockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => (offered.has(protocol) ? protocol : "v4.channel.k8s.io"),
    perMessageDeflate: false
  })
  const isBase64 = protocol.includes("base64")
  const hasStatus = protocol.startsWith("v")

  const run = ({ cmd, stdin, tty }: Command, { send, finish }: Peer): Listener => {
    if (tty) {
      // It has none; what a program would say there is known.
      send(1, Buffer.from("terminal\r\n"))
      finish(fault === "no-exit-code" ? 0 : 4)
      return { data: () => {}, end: () => {}, gone: () => {} }
    }
    const [command = "", ...args] = cmd
    const child = spawn(command, args, { stdio: [stdin ? "pipe" : "ignore", "pipe", "pipe"] })
    children.add(child)
    child.stdout?.on("data", (data: Buffer) => send(1, fault === "cut-output" ? data.subarray(0, -1) : data))
    child.stderr?.on("data", (data: Buffer) => send(fault === "one-output" ? 1 : 2, data))
    child.stdin?.on("error", () => {})
    child.on("close", (code, signal) => {
      children.delete(child)
      finish(fault === "no-exit-code" ? 0 : (code ?? (signal === "SIGKILL" ? 137 : 1)))
    })
    return {
      data: (data) => {
        if (fault !== "no-stdin") child.stdin?.write(data)
      },
      end: () => {
        if (fault !== "open-stdin") child.stdin?.end()
      },
      gone: () => {
        child.stdin?.end()
        child.kill("SIGKILL")
      }
    }
  }

  const echo = (forward: SpdyForward, { open }: Forward) => {
    if (!open) return fault === "silent-forward" ? Effect.never : forward.fail("connection refused")
    return forward.incoming.pipe(
      Stream.runForEach((data) => forward.write(fault === "bad-forward" ? Buffer.alloc(data.length) : data)),
      Effect.andThen(forward.close)
    )
  }

  const upgraded = new Set<Duplex>()
  server.on("upgrade", (request, socket, head) => {
    upgraded.add(socket)
    socket.on("close", () => upgraded.delete(socket))
    const token = request.url ?? ""
    const wanted = tokens.get(token)
    if (fault !== "token-again") tokens.delete(token)
    if (wanted === undefined) return void socket.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n")
    if (request.headers.upgrade === "SPDY/3.1") {
      if ("port" in wanted) return serveSpdyForward(socket as Socket, head, (forward) => echo(forward, wanted))
      return serveSpdyCommand(socket as Socket, head, wanted, (peer) => run(wanted, peer))
    }
    sockets.handleUpgrade(request, socket, head, (client) => {
      const send = (channel: number, data: Buffer) => {
        client.send(isBase64 ? `${channel}${data.toString("base64")}` : Buffer.concat([Uint8Array.of(channel), data]))
      }
      if ("port" in wanted) {
        for (const channel of [0, 1]) send(channel, Buffer.from([wanted.port & 0xff, wanted.port >> 8]))
        if (!wanted.open && fault !== "silent-forward") send(1, Buffer.from("connection refused"))
        client.on("message", (data: Buffer) => {
          if (wanted.open) send(0, fault === "bad-forward" ? data.subarray(1).fill(0) : data.subarray(1))
        })
        return
      }
      const listener = run(wanted, {
        send,
        finish: (code) => {
          if (hasStatus) send(3, Buffer.from(statusOf(code)))
          else if (code !== 0) send(3, Buffer.from(`exit ${code}`))
          client.close(1000)
        }
      })
      client.on("message", (data: Buffer) => {
        const text = data.toString("latin1")
        const channel = isBase64 ? Number(text[0]) : data[0]
        if (channel === endSignal) listener.end()
        if (channel === 0) listener.data(isBase64 ? Buffer.from(text.slice(1), "base64") : data.subarray(1))
      })
      client.on("close", listener.gone)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as AddressInfo
  return {
    urlFor: (wanted: Wanted): string => {
      const token = `/exec/${tokens.size}-${Math.random()}`
      tokens.set(token, wanted)
      return `${tls === undefined ? "http" : "https"}://127.0.0.1:${port}${token}`
    },
    stop: () => {
      for (const child of children) child.kill("SIGKILL")
      for (const socket of upgraded) socket.destroy()
      server.close()
      server.closeAllConnections()
    }
  }
}
