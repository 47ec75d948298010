/** The frames of SPDY/3.1 (SPDY Protocol Draft 3, section 2.2 and 2.6) and their bytes. */
import { Buffer } from "node:buffer"
import { encodeHeaders, type Headers } from "./headers.ts"
import { maxDataFrame } from "./limits.ts"

/**
 * A frame, or a part of one: data is handed on as it comes, so a Data may be a piece of a longer frame, whose last piece
 * has `fin` when the frame has. Priorities, parents and credentials mean nothing here and are left out.
 */
export type Frame =
  | {
      readonly _tag: "SynStream"
      readonly streamId: number
      /** The opener will send nothing. */
      readonly fin: boolean
      /** The opener wants nothing back. */
      readonly unidirectional: boolean
      readonly headers: Headers
    }
  | { readonly _tag: "SynReply"; readonly streamId: number; readonly fin: boolean; readonly headers: Headers }
  | { readonly _tag: "RstStream"; readonly streamId: number; readonly status: number }
  /** What is set is for browsers; it is counted and dropped. */
  | { readonly _tag: "Settings"; readonly count: number }
  | { readonly _tag: "Ping"; readonly id: number }
  | { readonly _tag: "GoAway"; readonly lastStreamId: number; readonly status: number }
  | { readonly _tag: "Headers"; readonly streamId: number; readonly fin: boolean; readonly headers: Headers }
  | { readonly _tag: "WindowUpdate"; readonly streamId: number; readonly delta: number }
  | { readonly _tag: "Data"; readonly streamId: number; readonly fin: boolean; readonly data: Uint8Array }
  /** A control frame of a type that Draft 3 does not know; to be ignored (section 2.2.1). */
  | { readonly _tag: "Unknown"; readonly type: number }

export type Sendable = Exclude<Frame, { _tag: "Unknown" }>

export const version = 3

/** Bytes before the payload of every frame. */
export const frameHeaderLength = 8

export const frameType = {
  synStream: 1,
  synReply: 2,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  headers: 8,
  windowUpdate: 9
}

export const flag = { fin: 1, unidirectional: 2 }

/** Why a stream is reset (section 2.6.3). */
export const resetStatus = { protocolError: 1, invalidStream: 2, refusedStream: 3, cancel: 5 }

/** Why a connection ends (section 2.6.6). */
export const goAwayStatus = { ok: 0, protocolError: 1 }

const controlFrame = (type: number, flags: number, fields: ReadonlyArray<number>, block?: Uint8Array): Buffer => {
  const length = 4 * fields.length + (block?.length ?? 0)
  const frame = Buffer.alloc(frameHeaderLength + length)
  frame.writeUInt16BE(0x8000 | version, 0)
  frame.writeUInt16BE(type, 2)
  frame.writeUInt32BE(((flags << 24) | length) >>> 0, 4)
  fields.forEach((field, index) => frame.writeUInt32BE(field, frameHeaderLength + 4 * index))
  if (block !== undefined) frame.set(block, frameHeaderLength + 4 * fields.length)
  return frame
}

/** A data frame; at most `maxDataFrame` bytes. */
export const encodeData = (streamId: number, data: Uint8Array, fin: boolean): Buffer => {
  const frame = Buffer.allocUnsafe(frameHeaderLength + data.length)
  frame.writeUInt32BE(streamId, 0)
  frame.writeUInt32BE((((fin ? flag.fin : 0) << 24) | data.length) >>> 0, 4)
  frame.set(data, frameHeaderLength)
  return frame
}

/** As many data frames as the data needs, none for none. */
export const splitData = function* (streamId: number, data: Uint8Array): Generator<Buffer> {
  for (let start = 0; start < data.length; start += maxDataFrame) {
    yield encodeData(streamId, data.subarray(start, start + maxDataFrame), false)
  }
}

const flagsOf = (frame: { readonly fin: boolean; readonly unidirectional?: boolean }): number =>
  (frame.fin ? flag.fin : 0) | (frame.unidirectional === true ? flag.unidirectional : 0)

/** The bytes of a frame; `deflate` is the direction's compressor and sees the header blocks in the order of sending. */
export const encodeFrame = (frame: Sendable, deflate: (text: Uint8Array) => Buffer): Buffer => {
  switch (frame._tag) {
    case "SynStream": {
      const block = deflate(encodeHeaders(frame.headers))
      // After the stream it belongs to, priority and credential slot are 16 bits: the block begins at byte 10.
      return controlFrame(
        frameType.synStream,
        flagsOf(frame),
        [frame.streamId, 0],
        Buffer.concat([Buffer.alloc(2), block])
      )
    }
    case "SynReply":
      return controlFrame(frameType.synReply, flagsOf(frame), [frame.streamId], deflate(encodeHeaders(frame.headers)))
    case "Headers":
      return controlFrame(frameType.headers, flagsOf(frame), [frame.streamId], deflate(encodeHeaders(frame.headers)))
    case "RstStream":
      return controlFrame(frameType.rstStream, 0, [frame.streamId, frame.status])
    case "Settings":
      return controlFrame(frameType.settings, 0, [frame.count], Buffer.alloc(8 * frame.count))
    case "Ping":
      return controlFrame(frameType.ping, 0, [frame.id])
    case "GoAway":
      return controlFrame(frameType.goAway, 0, [frame.lastStreamId, frame.status])
    case "WindowUpdate":
      return controlFrame(frameType.windowUpdate, 0, [frame.streamId, frame.delta])
    case "Data":
      return encodeData(frame.streamId, frame.data, frame.fin)
  }
}
