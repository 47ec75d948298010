/** PAX extended header records (pax(1), "pax Extended Header"): keys are text, values are bytes and stay bytes. */
import { ArchiveError } from "./limits.ts"

export type PaxRecords = ReadonlyMap<string, Buffer>

const damaged = (why: string) => new ArchiveError("", `PAX header: ${why}`)

/** GNU sparse 0.0 repeats these two keys; they are gathered in order under one name, as GNU sparse 0.1 writes them. */
export const SPARSE_MAP = "GNU.sparse.map"
const repeated = new Set(["GNU.sparse.offset", "GNU.sparse.numbytes"])

/** Records of one header; the last of a repeated key counts. Values may hold any byte, newline and NUL too. */
export const parsePax = (data: Buffer): PaxRecords => {
  const records = new Map<string, Buffer>()
  const sparse: Array<string> = []
  let offset = 0
  while (offset < data.length) {
    const space = data.indexOf(0x20, offset)
    if (space < 0 || space - offset > 20) throw damaged("record without a length")
    const digits = data.toString("latin1", offset, space)
    if (!/^[0-9]+$/.test(digits)) throw damaged(`length ${JSON.stringify(digits)}`)
    const end = offset + Number(digits)
    if (end > data.length || end < space + 3) throw damaged("record longer than the header")
    if (data[end - 1] !== 0x0a) throw damaged("record without a newline at its end")
    const equals = data.indexOf(0x3d, space + 1)
    if (equals < 0 || equals >= end - 1 || equals === space + 1) throw damaged("record without a key")
    const key = data.toString("latin1", space + 1, equals)
    if (key.includes("\0")) throw damaged("key with a NUL byte")
    const value = data.subarray(equals + 1, end - 1)
    if (repeated.has(key)) sparse.push(value.toString("latin1"))
    else records.set(key, value)
    offset = end
  }
  if (sparse.length > 0 && !records.has(SPARSE_MAP)) records.set(SPARSE_MAP, Buffer.from(sparse.join(","), "latin1"))
  return records
}

/** A record as a byte string, undefined when absent or empty: an empty value leaves the header's own field in force. */
export const paxText = (records: PaxRecords, key: string): string | undefined => {
  const value = records.get(key)
  return value === undefined || value.length === 0 ? undefined : value.toString("latin1")
}

/** A decimal whole number, not negative. */
export const paxNumber = (records: PaxRecords, key: string): number | undefined => {
  const text = paxText(records, key)
  if (text === undefined) return undefined
  const value = Number(text)
  if (!/^[0-9]+$/.test(text) || !Number.isSafeInteger(value)) throw damaged(`${key} ${JSON.stringify(text)}`)
  return value
}

export interface TarTime {
  readonly seconds: number
  readonly nanoseconds: number
}

/** "1700000000.123456789", possibly negative; digits below a nanosecond are cut. */
export const paxTime = (records: PaxRecords, key: string): TarTime | undefined => {
  const text = paxText(records, key)
  if (text === undefined) return undefined
  const match = /^(-?)([0-9]{1,15})(?:\.([0-9]*))?$/.exec(text)
  if (match === null) throw damaged(`${key} ${JSON.stringify(text)}`)
  const seconds = Number(match[2])
  const nanoseconds = Number((match[3] ?? "").slice(0, 9).padEnd(9, "0"))
  if (match[1] === "") return { seconds, nanoseconds }
  return nanoseconds === 0
    ? { seconds: -seconds, nanoseconds: 0 }
    : { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds }
}
