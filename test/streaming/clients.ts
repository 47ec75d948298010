/** Streaming clients over real sockets, for the server alone and for a daemon: SPDY and WebSocket, each as its field's do. */
import { Result } from "effect"
import { request as httpRequest, type IncomingHttpHeaders } from "node:http"
import { request as httpsRequest } from "node:https"
import type { Socket } from "node:net"
import { Duplex } from "node:stream"
import type { SecureContextOptions } from "node:tls"
import { WebSocket } from "ws"
import { makeFrameReader } from "../../src/streaming/spdy/frameReader.ts"
import { encodeFrame, type Sendable } from "../../src/streaming/spdy/frames.ts"
import { makeHeaderDeflater } from "../../src/streaming/spdy/headerCompression.ts"

export type ClientTls = Pick<SecureContextOptions, "ca" | "cert" | "key" | "minVersion" | "maxVersion" | "ciphers">

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** Of an answer that upgrades nothing. */
  readonly body: string
  readonly socket: Socket
  readonly head: Buffer
}

/** One request; what it answers, or what its socket became. */
export const ask = (
  url: string,
  headers: Readonly<Record<string, string | ReadonlyArray<string>>>,
  { method = "POST", tls = {} }: { readonly method?: string; readonly tls?: ClientTls } = {}
): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const options = { method, headers: headers as Record<string, string>, agent: false as const, ...tls }
    const request = url.startsWith("https:") ? httpsRequest(url, options) : httpRequest(url, options)
    request.on("error", reject)
    request.on("upgrade", ({ statusCode = 0, headers }, socket, head) => {
      resolve({ status: statusCode, headers, body: "", socket: socket as Socket, head })
    })
    request.on("response", (response) => {
      const chunks: Array<Buffer> = []
      response.on("data", (chunk: Buffer) => chunks.push(chunk))
      response.on("end", () => {
        const { statusCode = 0, headers, socket } = response
        resolve({ status: statusCode, headers, body: Buffer.concat(chunks).toString(), socket, head: Buffer.alloc(0) })
      })
    })
    request.end()
  })

export const spdyHeaders = (...protocols: ReadonlyArray<string>) => ({
  Connection: "Upgrade",
  Upgrade: "SPDY/3.1",
  "X-Stream-Protocol-Version": protocols
})

/** Looks again until it is true. */
export const until = async (what: string, check: () => boolean): Promise<void> => {
  for (const limit = Date.now() + 10_000; !check(); await new Promise((resolve) => setTimeout(resolve, 5))) {
    if (Date.now() > limit) throw new Error(`never: ${what}`)
  }
}

/** What came on one stream. */
interface Received {
  readonly id: number
  readonly chunks: Array<Buffer>
  replied: boolean
  fin: boolean
  reset: boolean
}

export class SpdyClient {
  readonly socket: Duplex
  readonly pings: Array<number> = []
  goAway = false
  closed = false
  private readonly reader = makeFrameReader()
  private readonly deflate = makeHeaderDeflater()
  private readonly streams = new Map<string, Received>()
  private nextId = 1

  constructor(socket: Duplex, head: Uint8Array) {
    this.socket = socket
    socket.on("error", () => {})
    socket.on("close", () => {
      this.closed = true
    })
    socket.on("data", (data) => this.take(data))
    if (head.length > 0) this.take(head)
  }

  static async connect(url: string, protocol: string, tls: ClientTls = {}): Promise<SpdyClient> {
    const { status, body, socket, head } = await ask(url, spdyHeaders(protocol), { tls })
    if (status !== 101) throw new Error(`${status}: ${body}`)
    return new SpdyClient(socket, head)
  }

  /** Connects and opens these streams. */
  static async open(url: string, types: ReadonlyArray<string>, protocol = "v4.channel.k8s.io"): Promise<SpdyClient> {
    const client = await SpdyClient.connect(url, protocol)
    for (const type of types) client.stream(type, { streamtype: type })
    await until("replies to all streams", () => types.every((type) => client.of(type).replied))
    return client
  }

  stream(name: string, headers: Readonly<Record<string, string>>): void {
    const streamId = this.nextId
    this.nextId += 2
    this.streams.set(name, { id: streamId, chunks: [], replied: false, fin: false, reset: false })
    const lists = new Map(Object.entries(headers).map(([key, value]) => [key, [value]]))
    this.send({ _tag: "SynStream", streamId, fin: false, unidirectional: false, headers: lists })
  }

  of(name: string): Received {
    const stream = this.streams.get(name)
    if (stream === undefined) throw new Error(`no stream ${name}`)
    return stream
  }

  text(name: string): string {
    return Buffer.concat(this.of(name).chunks).toString()
  }

  send(frame: Sendable): boolean {
    return this.socket.write(encodeFrame(frame, this.deflate))
  }

  data(name: string, data: string | Uint8Array, fin = false): boolean {
    return this.send({ _tag: "Data", streamId: this.of(name).id, fin, data: Buffer.from(data) })
  }

  /** Waits for the end of the error stream; its text. */
  async status(): Promise<string> {
    await until("the end of the error stream", () => this.of("error").fin || this.closed)
    return this.text("error")
  }

  private take(data: Uint8Array): void {
    this.reader.push(data)
    for (;;) {
      const frame = Result.getOrThrow(this.reader.next())
      if (frame === undefined) return
      if (frame._tag === "Ping") this.pings.push(frame.id)
      if (frame._tag === "GoAway") this.goAway = true
      if (!("streamId" in frame)) continue
      const stream = Array.from(this.streams.values()).find(({ id }) => id === frame.streamId)
      if (stream === undefined) continue
      if (frame._tag === "SynReply") stream.replied = true
      if (frame._tag === "RstStream") stream.reset = true
      if (frame._tag === "Data") {
        if (frame.data.length > 0) stream.chunks.push(Buffer.from(frame.data))
        stream.fin ||= frame.fin
      }
    }
  }
}

const webSocketFrame = (opcode: number, payload: Uint8Array): Buffer => {
  // A client's frames are masked; a mask of zeros leaves them readable.
  const mask = Buffer.alloc(4)
  if (payload.length < 126) return Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | payload.length]), mask, payload])
  const length = Buffer.from([0x80 | opcode, 0xfe, payload.length >> 8, payload.length & 0xff])
  return Buffer.concat([length, mask, payload])
}

/**
 * The client's end of the tunnel through a WebSocket. The `ws` package cannot offer the tunnel's subprotocol: there is a
 * slash in its name.
 */
export class Tunnel extends Duplex {
  static readonly protocol = "SPDY/3.1+portforward.k8s.io"
  /** Of the server's close frame. */
  closeCode: number | undefined
  private readonly socket: Socket
  private pending: Buffer = Buffer.alloc(0)

  constructor({ socket, head }: Pick<Answer, "socket" | "head">) {
    super()
    this.socket = socket
    socket.on("error", () => {})
    socket.on("data", (data) => this.unwrap(data))
    socket.on("close", () => this.destroy())
    this.unwrap(head)
  }

  static async open(url: string): Promise<Tunnel> {
    const headers = {
      Connection: "Upgrade",
      Upgrade: "websocket",
      "Sec-WebSocket-Version": "13",
      "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
      "Sec-WebSocket-Protocol": Tunnel.protocol
    }
    const answer = await ask(url, headers, { method: "GET" })
    if (answer.status !== 101) throw new Error(`${answer.status}: ${answer.body}`)
    if (answer.headers["sec-websocket-protocol"] !== Tunnel.protocol) throw new Error("another subprotocol")
    return new Tunnel(answer)
  }

  /** One message per write. */
  override _write(data: Buffer, _: BufferEncoding, done: () => void): void {
    this.socket.write(webSocketFrame(2, data), () => done())
  }

  override _read(): void {}

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.socket.destroy()
    done(error)
  }

  sendText(text: string): void {
    this.socket.write(webSocketFrame(1, Buffer.from(text)))
  }

  close(): void {
    this.socket.write(webSocketFrame(8, Uint8Array.of(1000 >> 8, 1000 & 0xff)))
  }

  private unwrap(data: Uint8Array): void {
    this.pending = Buffer.concat([this.pending, data])
    for (;;) {
      const [first, second] = this.pending
      if (first === undefined || second === undefined) return
      const start = second < 126 ? 2 : 4
      if (this.pending.length < start) return
      const length = second < 126 ? second : this.pending.readUInt16BE(2)
      if (this.pending.length < start + length) return
      const payload = this.pending.subarray(start, start + length)
      this.pending = this.pending.subarray(start + length)
      if ((first & 0x0f) === 8) this.closeCode = payload.readUInt16BE(0)
      else this.push(payload)
    }
  }
}

export class WebSocketClient {
  readonly socket: WebSocket
  readonly messages: Array<string | Buffer> = []
  closeCode: number | undefined
  pongs = 0

  private constructor(socket: WebSocket) {
    this.socket = socket
    socket.on("message", (data: Buffer, binary) => this.messages.push(binary ? data : data.toString()))
    socket.on("pong", () => this.pongs++)
    socket.on("error", () => {})
    socket.on("close", (code) => {
      this.closeCode = code
    })
  }

  /** Fails with the status when the server refuses. */
  static open(url: string, protocols: ReadonlyArray<string>): Promise<WebSocketClient> {
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(url.replace(/^http/, "ws"), [...protocols], { perMessageDeflate: true })
      const client = new WebSocketClient(socket)
      socket.on("open", () => resolve(client))
      socket.on("unexpected-response", (_, { statusCode }) => reject(new Error(`answered ${statusCode}`)))
      socket.on("error", reject)
    })
  }

  send(channel: number, data: string | Uint8Array): void {
    this.socket.send(Buffer.concat([Uint8Array.of(channel), Buffer.from(data)]))
  }

  /** What came on a channel, of binary messages. */
  text(channel: number): string {
    const bytes = this.messages.filter((message): message is Buffer => typeof message !== "string")
    return Buffer.concat(bytes.filter(([first]) => first === channel).map((message) => message.subarray(1))).toString()
  }

  async end(): Promise<number> {
    await until("the WebSocket closes", () => this.closeCode !== undefined)
    return this.closeCode ?? 0
  }
}
