/** The streaming server of the runtime that only pretends: commands run on this machine, by whatever subprotocol is wanted. */
import { spawn } from "node:child_process"
import { createServer } from "node:http"
import { type AddressInfo } from "node:net"
import { WebSocketServer } from "ws"

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

export const startFakeStreams = async (fault: StreamFault, protocol = "v5.channel.k8s.io") => {
  const tokens = new Map<string, Wanted>()
  const server = createServer((_, response) => response.writeHead(404).end())
  const sockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => (offered.has(protocol) ? protocol : "v4.channel.k8s.io"),
    perMessageDeflate: false
  })
  const isBase64 = protocol.includes("base64")
  const hasStatus = protocol.startsWith("v")

  server.on("upgrade", (request, socket, head) => {
    const token = request.url ?? ""
    const wanted = tokens.get(token)
    if (fault !== "token-again") tokens.delete(token)
    if (wanted === undefined) return void socket.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n")
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
      const [command = "", ...args] = wanted.cmd
      const child = spawn(command, args, { stdio: [wanted.stdin ? "pipe" : "ignore", "pipe", "pipe"] })
      child.stdout?.on("data", (data: Buffer) => send(1, fault === "cut-output" ? data.subarray(0, -1) : data))
      child.stderr?.on("data", (data: Buffer) => send(fault === "one-output" ? 1 : 2, data))
      child.stdin?.on("error", () => {})
      client.on("message", (data: Buffer) => {
        const text = data.toString("latin1")
        const channel = isBase64 ? Number(text[0]) : data[0]
        if (channel === endSignal && fault !== "open-stdin") child.stdin?.end()
        if (channel !== 0 || fault === "no-stdin") return
        child.stdin?.write(isBase64 ? Buffer.from(text.slice(1), "base64") : data.subarray(1))
      })
      client.on("close", () => {
        child.stdin?.end()
        child.kill("SIGKILL")
      })
      child.on("close", (code, signal) => {
        const exit = fault === "no-exit-code" ? 0 : (code ?? (signal === "SIGKILL" ? 137 : 1))
        if (hasStatus) send(3, Buffer.from(statusOf(exit)))
        else if (exit !== 0) send(3, Buffer.from(`exit ${exit}`))
        client.close(1000)
      })
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as AddressInfo
  return {
    urlFor: (wanted: Wanted): string => {
      const token = `/exec/${tokens.size}-${Math.random()}`
      tokens.set(token, wanted)
      return `http://127.0.0.1:${port}${token}`
    },
    stop: () => {
      for (const client of sockets.clients) client.terminate()
      server.close()
      server.closeAllConnections()
    }
  }
}
