/**
 * Header blocks of one direction are one zlib stream with a preset dictionary, flushed after each block (SPDY Protocol
 * Draft 3, section 2.6.10). A flush ends on a byte, so a block can be treated alone, and at once, when the text before
 * it is given as the dictionary: no zlib state is held between blocks, and nothing waits for the thread pool.
 */
import { Buffer } from "node:buffer"
import { constants, deflateRawSync, inflateRawSync } from "node:zlib"
import { headerDictionary, headerDictionaryId } from "./dictionary.ts"
import { SpdyError } from "./SpdyError.ts"

// What a deflated reference can reach back to (RFC 1951, section 2).
const windowLength = 32 * 1024

const remember = (history: Buffer, text: Buffer): Buffer => {
  const all = Buffer.concat([history, text])
  return all.length <= windowLength ? all : Buffer.from(all.subarray(all.length - windowLength))
}

// Deflate with a 32 KiB window, a dictionary, the strongest compression (RFC 1950, section 2.2).
const streamHeader = Buffer.alloc(6)
streamHeader.writeUInt16BE(0x78f9, 0)
streamHeader.writeUInt32BE(headerDictionaryId, 2)

// The empty stored block that a flush leaves (RFC 1951, section 3.2.4).
const flushMark = Buffer.from([0, 0, 0xff, 0xff])

const checkStreamHeader = (block: Buffer): void => {
  if (block.length < streamHeader.length) throw new SpdyError({ reason: "a first header block without a zlib header" })
  const flags = block.readUInt16BE(0)
  if ((block[0]! & 0x0f) !== 8 || block[0]! >> 4 > 7 || flags % 31 !== 0) {
    throw new SpdyError({ reason: "a first header block whose zlib header is wrong" })
  }
  if ((flags & 0x20) === 0 || block.readUInt32BE(2) !== headerDictionaryId) {
    throw new SpdyError({ reason: "a header block that does not use the dictionary of SPDY/3" })
  }
}

/**
 * Decompresses one direction's header blocks, to be given in the order they came. Throws a SpdyError for what is no
 * whole flushed block or inflates to more than `maxBytes`; nothing can be decompressed after that.
 */
export const makeHeaderInflater = (maxBytes: number): ((block: Uint8Array) => Buffer) => {
  let history: Buffer | undefined
  return (block) => {
    let body = Buffer.from(block.buffer, block.byteOffset, block.byteLength)
    if (history === undefined) {
      checkStreamHeader(body)
      body = body.subarray(streamHeader.length)
    }
    if (!body.subarray(-flushMark.length).equals(flushMark)) {
      throw new SpdyError({ reason: "a header block that is not flushed" })
    }
    const dictionary = history ?? headerDictionary
    let text: Buffer
    try {
      text = inflateRawSync(body, { dictionary, finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: maxBytes })
    } catch (cause) {
      const tooLong = (cause as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE"
      const reason = tooLong ? `headers of more than ${maxBytes} bytes` : "a header block that does not decompress"
      throw new SpdyError({ reason, cause })
    }
    history = remember(dictionary, text)
    return text
  }
}

/** Compresses one direction's header blocks, to be sent in the order they were given. */
export const makeHeaderDeflater = (): ((text: Uint8Array) => Buffer) => {
  let history: Buffer | undefined
  return (text) => {
    const dictionary = history ?? headerDictionary
    const body = deflateRawSync(text, { dictionary, level: 9, finishFlush: constants.Z_SYNC_FLUSH })
    const block = history === undefined ? Buffer.concat([streamHeader, body]) : body
    history = remember(dictionary, Buffer.from(text.buffer, text.byteOffset, text.byteLength))
    return block
  }
}
