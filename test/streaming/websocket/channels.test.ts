import { describe, expect, it } from "vitest"
import { type ChannelFormat, decodeChannel, encodeChannel } from "../../../src/streaming/websocket/channels.ts"

const binary: ChannelFormat = { base64: false, closeSignal: false, channels: new Set([0, 1, 3]) }
const v5: ChannelFormat = { ...binary, closeSignal: true }
const base64: ChannelFormat = { ...binary, base64: true }

const data = (channel: number, text: string) => ({ _tag: "Data", channel, data: Buffer.from(text) })

describe("channels of a WebSocket", () => {
  it.each([
    ["binary", binary],
    ["v5", v5],
    ["base64", base64]
  ])("%s: what is encoded is decoded", (_, format) => {
    for (const text of ["", "a", "zwölf", "\u0000"]) {
      expect(decodeChannel(format, encodeChannel(format.base64, 1, Buffer.from(text)))).toEqual(data(1, text))
    }
  })

  it("base64 writes the channel as a digit", () => {
    expect(encodeChannel(true, 3, Buffer.from("hi"))).toBe("3aGk=")
  })

  it("encodes a part of a larger buffer, and nothing of the rest", () => {
    const part = Buffer.from("--part--").subarray(2, 6)
    expect(encodeChannel(true, 1, part)).toBe(`1${Buffer.from("part").toString("base64")}`)
    expect(encodeChannel(false, 1, part)).toEqual(Buffer.from("\u0001part"))
  })

  it("v5 closes a channel of the session; the older ones know no such signal", () => {
    expect(decodeChannel(v5, Uint8Array.of(255, 0))).toEqual({ _tag: "Close", channel: 0 })
    expect(decodeChannel(binary, Uint8Array.of(255, 0))).toMatchObject({ _tag: "Data", channel: 255 })
  })

  it("a close signal that names no channel, or more than one, is a violation", () => {
    for (const bytes of [[255], [255, 2], [255, 255], [255, 0, 1]]) {
      expect(decodeChannel(v5, Uint8Array.from(bytes))).toMatchObject({ _tag: "Violation" })
    }
  })

  it("text and binary are not mixed; base64 is base64", () => {
    expect(decodeChannel(binary, "0abc")).toMatchObject({ _tag: "Violation" })
    expect(decodeChannel(base64, Buffer.from("0aGk="))).toMatchObject({ _tag: "Violation" })
    for (const text of ["0a", "0a===", "0aG k=", "0aGk=aGk="]) {
      expect(decodeChannel(base64, text)).toMatchObject({ _tag: "Violation" })
    }
  })

  it("ignores what names no channel", () => {
    expect(decodeChannel(binary, new Uint8Array(0))).toEqual({ _tag: "Ignore" })
    expect(decodeChannel(base64, "")).toEqual({ _tag: "Ignore" })
    expect(decodeChannel(base64, "xaGk=")).toEqual({ _tag: "Ignore" })
  })
})
