/** One 512-byte tar header block: V7, ustar, PAX, GNU and star (tar(5)); values as written, extensions not yet applied. */
import { ArchiveError } from "./limits.ts"
import type { TarTime } from "./pax.ts"

export const BLOCK = 512

export interface TarHeader {
  /** Byte string (native.ts). */
  readonly name: string
  readonly linkName: string
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  readonly modified: TarTime
  /** Type flag; "\0" of old archives stays. */
  readonly type: string
  readonly deviceMajor: number
  readonly deviceMinor: number
}

const cString = (block: Buffer, offset: number, length: number): string => {
  const end = block.indexOf(0, offset)
  return block.toString("latin1", offset, end < 0 || end > offset + length ? offset + length : end)
}

const damaged = (block: Buffer, why: string) =>
  new ArchiveError(Buffer.from(cString(block, 0, 100), "latin1").toString("utf8"), `tar header: ${why}`)

/** Octal text, or base 256 (two's complement) when the first bit is set. Undefined when it is neither. */
const numberOf = (block: Buffer, offset: number, length: number): number | undefined => {
  const first = block[offset] as number
  if (first & 0x80) {
    let value = first & 0x40 ? -1n : 0n
    for (let i = 0; i < length; i++) {
      const byte = block[offset + i] as number
      value = (value << 8n) | BigInt(i === 0 ? (first & 0x40 ? byte | 0x80 : byte & 0x7f) : byte)
    }
    const result = Number(value)
    return Number.isSafeInteger(result) ? result : undefined
  }
  const text = block.toString("latin1", offset, offset + length).replace(/^[ \0]+/, "")
  const digits = text.replace(/[ \0].*$/s, "")
  if (digits === "") return 0
  return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : undefined
}

const number = (block: Buffer, offset: number, length: number, field: string): number => {
  const value = numberOf(block, offset, length)
  if (value === undefined) throw damaged(block, `field ${field} is no number`)
  return value
}

/** True for a block of zeros. */
export const isZero = (block: Uint8Array): boolean => {
  for (let i = 0; i < block.length; i++) if (block[i] !== 0) return false
  return true
}

/** The sum may have been made over unsigned or, by very old programs, signed bytes. */
const verifyChecksum = (block: Buffer): void => {
  const expected = number(block, 148, 8, "checksum")
  let unsigned = 0
  let signed = 0
  for (let i = 0; i < BLOCK; i++) {
    const byte = i >= 148 && i < 156 ? 0x20 : (block[i] as number)
    unsigned += byte
    signed += byte > 127 ? byte - 256 : byte
  }
  if (expected !== unsigned && expected !== signed) throw damaged(block, "checksum does not match")
}

/** The prefix of ustar and star names. GNU archives have times there, except those of Go before 1.8. */
const prefixOf = (block: Buffer): string => {
  const magic = block.toString("latin1", 257, 265)
  if (magic === "ustar\x0000") return cString(block, 345, block.toString("latin1", 508, 512) === "tar\0" ? 131 : 155)
  if (magic !== "ustar  \0" || numberOf(block, 345, 12) !== undefined) return ""
  const prefix = cString(block, 345, 155)
  return /^[\x20-\x7e]*$/.test(prefix) ? prefix : ""
}

/** Throws ArchiveError for a wrong checksum or number. */
export const parseHeader = (block: Buffer): TarHeader => {
  verifyChecksum(block)
  const size = number(block, 124, 12, "size")
  if (size < 0) throw damaged(block, "negative size")
  const prefix = prefixOf(block)
  const name = cString(block, 0, 100)
  const known = block.toString("latin1", 257, 262) === "ustar"
  return {
    name: prefix === "" ? name : `${prefix}/${name}`,
    linkName: cString(block, 157, 100),
    mode: number(block, 100, 8, "mode") & 0o7777,
    uid: number(block, 108, 8, "uid"),
    gid: number(block, 116, 8, "gid"),
    size,
    modified: { seconds: number(block, 136, 12, "mtime"), nanoseconds: 0 },
    type: String.fromCharCode(block[156] as number),
    deviceMajor: known ? number(block, 329, 8, "devmajor") : 0,
    deviceMinor: known ? number(block, 337, 8, "devminor") : 0
  }
}
