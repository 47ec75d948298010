/** Takes a peer's bytes as they come and makes frames of them. Knows nothing of streams. */
import { Result } from "effect"
import { Buffer } from "node:buffer"
import { flag, type Frame, frameHeaderLength, frameType, version } from "./frames.ts"
import { makeHeaderInflater } from "./headerCompression.ts"
import { type Headers, parseHeaders } from "./headers.ts"
import { maxControlPayload, maxHeaderBlock } from "./limits.ts"
import { SpdyError } from "./SpdyError.ts"

export interface FrameReader {
  readonly push: (bytes: Uint8Array) => void
  /**
   * The next frame of what was pushed; undefined until there is more. Holds at most one control frame of the longest
   * allowed length. After a failure nothing more can be read.
   */
  readonly next: () => Result.Result<Frame | undefined, SpdyError>
}

const largestId = 0x7fffffff

/** Reads one control frame's payload; throws a SpdyError. */
const parseControl = (type: number, flags: number, payload: Buffer, inflate: (block: Buffer) => Headers): Frame => {
  const refuse = (what: string): never => {
    throw new SpdyError({ reason: what })
  }
  const lengthIs = (name: string, length: number, atLeast = false) => {
    if (atLeast ? payload.length >= length : payload.length === length) return
    refuse(`a ${name} frame of ${payload.length} bytes`)
  }
  const noFlags = (name: string) => flags === 0 || refuse(`a ${name} frame with flags`)
  const number = (offset: number) => payload.readUInt32BE(offset)
  const streamId = (name: string) => number(0) & largestId || refuse(`a ${name} frame for stream 0`)
  const fin = (flags & flag.fin) !== 0

  switch (type) {
    case frameType.synStream: {
      lengthIs("SYN_STREAM", 10, true)
      // Decompressed whatever else is wrong with it: the next block builds on it.
      const headers = inflate(payload.subarray(10))
      const unidirectional = (flags & flag.unidirectional) !== 0
      return { _tag: "SynStream", streamId: streamId("SYN_STREAM"), fin, unidirectional, headers }
    }
    case frameType.synReply: {
      lengthIs("SYN_REPLY", 4, true)
      return { _tag: "SynReply", streamId: streamId("SYN_REPLY"), fin, headers: inflate(payload.subarray(4)) }
    }
    case frameType.headers: {
      lengthIs("HEADERS", 4, true)
      return { _tag: "Headers", streamId: streamId("HEADERS"), fin, headers: inflate(payload.subarray(4)) }
    }
    case frameType.rstStream: {
      lengthIs("RST_STREAM", 8)
      const status = number(4) || refuse("a RST_STREAM frame with status 0")
      return { _tag: "RstStream", streamId: streamId("RST_STREAM"), status }
    }
    case frameType.settings: {
      lengthIs("SETTINGS", 4, true)
      const count = number(0)
      if (count !== (payload.length - 4) / 8) {
        refuse(`a SETTINGS frame of ${payload.length} bytes that promises ${count} settings`)
      }
      return { _tag: "Settings", count }
    }
    case frameType.ping: {
      lengthIs("PING", 4)
      noFlags("PING")
      return { _tag: "Ping", id: number(0) || refuse("a PING frame with id 0") }
    }
    case frameType.goAway: {
      lengthIs("GOAWAY", 8)
      noFlags("GOAWAY")
      return { _tag: "GoAway", lastStreamId: number(0) & largestId, status: number(4) }
    }
    case frameType.windowUpdate: {
      lengthIs("WINDOW_UPDATE", 8)
      noFlags("WINDOW_UPDATE")
      return { _tag: "WindowUpdate", streamId: number(0) & largestId, delta: number(4) & largestId }
    }
    default:
      return { _tag: "Unknown", type }
  }
}

export const makeFrameReader = (): FrameReader => {
  const inflateBlock = makeHeaderInflater(maxHeaderBlock)
  const inflate = (block: Buffer) => parseHeaders(inflateBlock(block))
  let pending: Buffer = Buffer.alloc(0)
  // A data frame whose bytes have not all come.
  let body: { readonly streamId: number; readonly fin: boolean; left: number } | undefined
  let failed: SpdyError | undefined

  const take = (length: number): Buffer => {
    const taken = pending.subarray(0, length)
    pending = pending.subarray(length)
    return taken
  }

  const nextData = (data: NonNullable<typeof body>): Frame | undefined => {
    if (pending.length === 0 && data.left > 0) return undefined
    const piece = take(Math.min(data.left, pending.length))
    data.left -= piece.length
    if (data.left === 0) body = undefined
    return { _tag: "Data", streamId: data.streamId, fin: data.fin && data.left === 0, data: piece }
  }

  const nextFrame = (): Frame | undefined => {
    if (body !== undefined) return nextData(body)
    if (pending.length < frameHeaderLength) return undefined
    const first = pending.readUInt32BE(0)
    const flags = pending[4]!
    const length = pending.readUIntBE(5, 3)
    if (first >>> 31 === 0) {
      if (first === 0) throw new SpdyError({ reason: "a data frame for stream 0" })
      take(frameHeaderLength)
      body = { streamId: first, fin: (flags & flag.fin) !== 0, left: length }
      return nextData(body)
    }
    const type = first & 0xffff
    if (((first >>> 16) & 0x7fff) !== version) throw new SpdyError({ reason: "a control frame that is not of SPDY/3" })
    if (length > maxControlPayload) {
      throw new SpdyError({ reason: `a control frame of type ${type} and ${length} bytes, longer than any in use` })
    }
    if (pending.length < frameHeaderLength + length) return undefined
    take(frameHeaderLength)
    return parseControl(type, flags, take(length), inflate)
  }

  return {
    push: (bytes) => {
      const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      pending = pending.length === 0 ? buffer : Buffer.concat([pending, buffer])
    },
    next: () => {
      if (failed !== undefined) return Result.fail(failed)
      return Result.try({
        try: nextFrame,
        catch: (cause) => {
          failed = cause instanceof SpdyError ? cause : new SpdyError({ reason: "a frame that cannot be read", cause })
          return failed
        }
      })
    }
  }
}
