/** Maps of sparse files: old GNU (header blocks), PAX 0.0 and 0.1 (records), PAX 1.0 (at the start of the data). */
import { BLOCK } from "./header.ts"
import { ArchiveError, type UnpackLimits } from "./limits.ts"

/** A run of data at a byte offset of the file; what lies between runs is a hole. */
export interface Fragment {
  readonly offset: number
  readonly length: number
}

const damaged = (why: string) => new ArchiveError("", `sparse map: ${why}`)

/** Runs must ascend without overlap inside the file, and their lengths must sum to the data that the archive holds. */
export const checkMap = (map: ReadonlyArray<Fragment>, fileSize: number, dataSize: number): void => {
  let end = 0
  let total = 0
  for (const { offset, length } of map) {
    if (!Number.isSafeInteger(offset + length) || offset < end) throw damaged("fragments overlap or go backwards")
    end = offset + length
    total += length
  }
  if (end > fileSize) throw damaged(`data up to byte ${end} of a file of ${fileSize}`)
  if (total !== dataSize) throw damaged(`${total} bytes mapped, ${dataSize} present`)
}

const octal = (block: Buffer, offset: number): number => {
  const text = block.toString("latin1", offset, offset + 12)
  if ((block[offset] as number) & 0x80) return Number(block.readBigUInt64BE(offset + 4))
  const digits = text.replace(/[ \0]/g, "")
  if (!/^[0-7]*$/.test(digits)) throw damaged("offset is no number")
  return digits === "" ? 0 : Number.parseInt(digits, 8)
}

/** Entries of a header (four, from byte 386) or an extension block (twenty-one); appended to `map`. */
const appendOld = (map: Array<Fragment>, block: Buffer, start: number, count: number): void => {
  for (let i = 0; i < count; i++) {
    const at = start + i * 24
    if (block[at] === 0) return
    map.push({ offset: octal(block, at), length: octal(block, at + 12) })
  }
}

export const oldHeaderMap = (
  block: Buffer
): { readonly map: Array<Fragment>; readonly fileSize: number; readonly more: boolean } => {
  const map: Array<Fragment> = []
  appendOld(map, block, 386, 4)
  return { map, fileSize: octal(block, 483), more: block[482] !== 0 }
}

/** True when another extension block follows. */
export const oldExtension = (map: Array<Fragment>, block: Buffer, limits: UnpackLimits): boolean => {
  appendOld(map, block, 0, 21)
  if (map.length > limits.sparseFragments) throw damaged("too many fragments")
  return block[504] !== 0
}

const pairs = (numbers: ReadonlyArray<number>, limits: UnpackLimits): ReadonlyArray<Fragment> => {
  if (numbers.length % 2 !== 0) throw damaged("odd count of numbers")
  if (numbers.length / 2 > limits.sparseFragments) throw damaged("too many fragments")
  const map: Array<Fragment> = []
  for (let i = 0; i < numbers.length; i += 2) {
    map.push({ offset: numbers[i] as number, length: numbers[i + 1] as number })
  }
  return map
}

const decimal = (text: string): number => {
  if (!/^[0-9]{1,16}$/.test(text)) throw damaged(`${JSON.stringify(text.slice(0, 32))} is no number`)
  return Number(text)
}

/** "offset,length,offset,length…" of PAX 0.1, and of 0.0 after gathering. */
export const recordMap = (text: string, limits: UnpackLimits): ReadonlyArray<Fragment> =>
  text === "" ? [] : pairs(text.split(",").map(decimal), limits)

/**
 * The map of PAX 1.0: decimal numbers, a newline each, first their count of pairs, padded to a block. Undefined while
 * more blocks are needed.
 */
export const bodyMap = (blocks: Buffer, limits: UnpackLimits): ReadonlyArray<Fragment> | undefined => {
  const text = blocks.toString("latin1")
  const lines = text.split("\n")
  // The piece after the last newline may still be unfinished.
  lines.pop()
  const first = lines[0]
  if (first === undefined) {
    if (text.length >= BLOCK) throw damaged("no count of fragments")
    return undefined
  }
  const count = decimal(first)
  if (count > limits.sparseFragments) throw damaged("too many fragments")
  if (lines.length - 1 < count * 2) return undefined
  return pairs(lines.slice(1, 1 + count * 2).map(decimal), limits)
}
