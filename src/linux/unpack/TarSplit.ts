/**
 * tar-split data of a layer: what is needed beside its files to make its tar again byte for byte (containers/storage,
 * `overlay-layers/<id>.tar-split.gz`). Gzip of JSON lines: type 2 is raw bytes, type 1 a file's content by name with
 * its CRC-64. Written in blocks, each a gzip member, so memory stays small however long the archive is.
 */
import { closeSync, openSync, writeSync } from "node:fs"
import { gzipSync } from "node:zlib"
import { Crc64 } from "./crc64.ts"
import type { TarEntry } from "./TarReader.ts"

const RAW_BYTES = 64 * 1024
const BLOCK_CHARACTERS = 512 * 1024

export class TarSplit {
  readonly #fd: number
  #open = true
  #position = 0
  #raw: Array<Buffer> = []
  #rawBytes = 0
  #lines = ""
  #file: { readonly name: string; readonly size: number; readonly crc: Crc64 } | undefined
  /** A name can stand for content only once: readers refuse a second one. */
  readonly #names = new Set<string>()

  constructor(path: string) {
    this.#fd = openSync(path, "wx", 0o600)
  }

  raw(bytes: Buffer): void {
    this.#raw.push(bytes)
    this.#rawBytes += bytes.length
    if (this.#rawBytes >= RAW_BYTES) this.#flushRaw()
  }

  /** Content of sparse files goes in raw: read back from the disk they are longer than in the archive. */
  begin(entry: TarEntry): void {
    if (entry.type !== "0" || entry.dataSize === 0 || entry.sparse !== undefined) return
    if (this.#names.has(entry.name)) return
    this.#names.add(entry.name)
    this.#file = { name: entry.name, size: entry.dataSize, crc: new Crc64() }
  }

  content(bytes: Buffer): void {
    if (this.#file === undefined) this.raw(bytes)
    else this.#file.crc.update(bytes)
  }

  end(): void {
    if (this.#file === undefined) return
    const { name, size, crc } = this.#file
    this.#file = undefined
    this.#flushRaw()
    const text = Buffer.from(name, "latin1").toString("utf8")
    const isText = Buffer.from(text, "utf8").toString("latin1") === name
    this.#put({
      type: 1,
      ...(isText ? { name: text } : { name_raw: Buffer.from(name, "latin1").toString("base64") }),
      size,
      payload: crc.digest().toString("base64")
    })
  }

  finish(): void {
    this.#flushRaw()
    this.#flushLines()
    this.close()
  }

  close(): void {
    if (!this.#open) return
    this.#open = false
    closeSync(this.#fd)
  }

  #flushRaw(): void {
    if (this.#rawBytes === 0) return
    const payload = Buffer.concat(this.#raw).toString("base64")
    this.#raw = []
    this.#rawBytes = 0
    this.#put({ type: 2, payload })
  }

  #put(entry: object): void {
    this.#lines += `${JSON.stringify({ ...entry, position: this.#position++ })}\n`
    if (this.#lines.length >= BLOCK_CHARACTERS) this.#flushLines()
  }

  #flushLines(): void {
    if (this.#lines === "" && this.#position > 0) return
    const data = gzipSync(this.#lines, { level: 1 })
    this.#lines = ""
    for (let written = 0; written < data.length;) written += writeSync(this.#fd, data, written)
  }
}
