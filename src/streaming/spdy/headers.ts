/** Name/value header blocks, decompressed (SPDY Protocol Draft 3, section 2.6.10). */
import { Buffer } from "node:buffer"
import { maxHeaders } from "./limits.ts"
import { SpdyError } from "./SpdyError.ts"

/** Names are in lower case; a name can have several values. */
export type Headers = ReadonlyMap<string, ReadonlyArray<string>>

// They belong to the hop, which SPDY takes the place of (section 3.2.1).
const forbidden = new Set(["connection", "host", "keep-alive", "proxy-connection", "transfer-encoding"])

// Values of one name are joined by it.
const separator = "\0"

const lengthOf = 4

/** Throws a SpdyError. The block's size is the caller's business; what it says about itself is not believed. */
export const parseHeaders = (block: Buffer): Headers => {
  let offset = 0
  const number = (): number => {
    if (offset + lengthOf > block.length) throw new SpdyError({ reason: "a header block that ends too early" })
    const value = block.readUInt32BE(offset)
    offset += lengthOf
    return value
  }
  const text = (): string => {
    const length = number()
    if (length > block.length - offset) {
      throw new SpdyError({ reason: `a header of ${length} bytes in a block with ${block.length - offset} left` })
    }
    offset += length
    return block.toString("latin1", offset - length, offset)
  }
  const count = number()
  if (count > maxHeaders) throw new SpdyError({ reason: `${count} headers in a block, at most ${maxHeaders} are read` })
  const headers = new Map<string, ReadonlyArray<string>>()
  for (let index = 0; index < count; index++) {
    const name = text()
    if (name === "" || name !== name.toLowerCase()) {
      throw new SpdyError({ reason: "a header name that is empty or not in lower case" })
    }
    if (headers.has(name)) throw new SpdyError({ reason: "a header name twice in a block" })
    if (forbidden.has(name)) throw new SpdyError({ reason: `the header ${name}, which SPDY forbids` })
    headers.set(name, text().split(separator))
  }
  if (offset !== block.length) throw new SpdyError({ reason: "a header block with bytes after its last header" })
  return headers
}

export const encodeHeaders = (headers: Headers): Buffer => {
  const parts: Array<Buffer> = []
  const number = (value: number) => {
    const bytes = Buffer.alloc(lengthOf)
    bytes.writeUInt32BE(value)
    parts.push(bytes)
  }
  number(headers.size)
  for (const [name, values] of headers) {
    for (const text of [name, values.join(separator)]) {
      number(text.length)
      parts.push(Buffer.from(text, "latin1"))
    }
  }
  return Buffer.concat(parts)
}
