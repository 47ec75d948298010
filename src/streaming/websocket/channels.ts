/** Several streams in one WebSocket: each message carries its channel's number in front. Pure. */
import type { Message } from "../MessageConnection.ts"

/** What a client's message says; "Ignore" for channels that nobody knows, "Violation" for what ends the session. */
export type ChannelMessage =
  | { readonly _tag: "Data"; readonly channel: number; readonly data: Uint8Array }
  /** The client writes no more on this channel (v5). */
  | { readonly _tag: "Close"; readonly channel: number }
  | { readonly _tag: "Ignore" }
  | { readonly _tag: "Violation"; readonly reason: string }

/** First byte of v5's signal that the client closes a channel; the second one names it. */
const closeSignal = 255

export interface ChannelFormat {
  /** Text messages: the channel as a digit, the rest in base64. Otherwise binary ones. */
  readonly base64: boolean
  /** v5 only. */
  readonly closeSignal: boolean
  /** Channels that a client may close. */
  readonly channels: ReadonlySet<number>
}

export const encodeChannel = (base64: boolean, channel: number, data: Uint8Array): Message =>
  base64
    ? `${channel}${Buffer.from(data.buffer, data.byteOffset, data.length).toString("base64")}`
    : Buffer.concat([Uint8Array.of(channel), data])

const ignore: ChannelMessage = { _tag: "Ignore" }
const violation = (reason: string): ChannelMessage => ({ _tag: "Violation", reason })

const isBase64 = (text: string): boolean => text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text)

const decodeText = (message: Message): ChannelMessage => {
  if (typeof message !== "string") return violation("a binary message on a base64 subprotocol")
  if (message === "") return ignore
  const channel = message.charCodeAt(0) - 0x30
  const text = message.slice(1)
  if (channel < 0 || channel > 9) return ignore
  if (!isBase64(text)) return violation("a message that is not base64")
  return { _tag: "Data", channel, data: Buffer.from(text, "base64") }
}

export const decodeChannel = (format: ChannelFormat, message: Message): ChannelMessage => {
  if (format.base64) return decodeText(message)
  if (typeof message === "string") return violation("a text message on a binary subprotocol")
  const [channel] = message
  if (channel === undefined) return ignore
  if (!format.closeSignal || channel !== closeSignal) return { _tag: "Data", channel, data: message.subarray(1) }
  const [, closed] = message
  if (message.length === 2 && closed !== undefined && format.channels.has(closed)) {
    return { _tag: "Close", channel: closed }
  }
  return violation("a CLOSE signal that names no channel of this session")
}
