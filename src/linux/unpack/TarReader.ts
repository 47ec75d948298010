/**
 * Reads a tar stream in pieces of any size: ustar, PAX, GNU long names, star, all sparse forms. Every byte is told
 * exactly once, as `raw` or as `content`, in order: tar-split needs the archive byte for byte.
 */
import { BLOCK, isZero, parseHeader, type TarHeader } from "./header.ts"
import { ArchiveError, type UnpackLimits } from "./limits.ts"
import { printable } from "./path.ts"
import { parsePax, paxNumber, paxText, paxTime, SPARSE_MAP, type PaxRecords, type TarTime } from "./pax.ts"
import { bodyMap, checkMap, oldExtension, oldHeaderMap, recordMap, type Fragment } from "./sparse.ts"

/** A whole entry with its extensions applied. Names are byte strings (native.ts). */
export interface TarEntry {
  readonly name: string
  readonly linkName: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly modified: TarTime
  readonly accessed: TarTime | undefined
  /** "0" file, "1" hard link, "2" symlink, "3" character, "4" block device, "5" directory, "6" FIFO, "g" global header. */
  readonly type: string
  readonly deviceMajor: number
  readonly deviceMinor: number
  /** Bytes of the file. */
  readonly size: number
  /** Bytes of content that follow in the archive; differs from `size` only for sparse files. */
  readonly dataSize: number
  readonly sparse: ReadonlyArray<Fragment> | undefined
  /** Extended attributes: name as a byte string, value as bytes. */
  readonly xattrs: ReadonlyArray<readonly [name: string, value: Buffer]>
}

export interface TarHandler {
  /** Headers, padding, end marks. */
  readonly raw: (bytes: Buffer) => void
  readonly entry: (entry: TarEntry) => void
  /** The entry's data, in order. */
  readonly content: (bytes: Buffer) => void
  /** After the last content of the entry. */
  readonly end: () => void
}

const XATTR = "SCHILY.xattr."
const noRecords: PaxRecords = new Map()
const knownTypes = new Set(["0", "1", "2", "3", "4", "5", "6", "g"])
const paddingOf = (size: number): number => (BLOCK - (size % BLOCK)) % BLOCK

/** An entry whose header is read and whose sparse map may still follow. */
interface Pending {
  readonly header: TarHeader
  dataSize: number
  map: Array<Fragment>
}

type Collecting = "header" | "extension" | "oldSparse" | "sparseMap"

export class TarReader {
  readonly #handler: TarHandler
  readonly #limits: UnpackLimits
  /** What the block being gathered is, or where the stream is between blocks. */
  #state: Collecting | "content" | "padding" | "ended" = "header"
  #gathered: Array<Buffer> = []
  #missing = BLOCK
  #zeroBlocks = 0
  #entries = 0
  #trailing = 0

  #extension: { readonly type: string; readonly size: number } | undefined
  #pax: PaxRecords = noRecords
  #longName: string | undefined
  #longLink: string | undefined
  #pending: Pending | undefined
  #sparseFileSize = 0
  #mapBlocks: Buffer = Buffer.alloc(0)
  #padding = 0

  constructor(handler: TarHandler, limits: UnpackLimits) {
    this.#handler = handler
    this.#limits = limits
  }

  /** Throws ArchiveError; the reader is then of no further use. */
  push(chunk: Buffer): void {
    let offset = 0
    while (offset < chunk.length) {
      if (this.#state === "ended") {
        this.#trailing += chunk.length - offset
        if (this.#trailing > this.#limits.trailingBytes) {
          throw new ArchiveError("", `more than ${this.#limits.trailingBytes} bytes after the end mark`)
        }
        this.#handler.raw(chunk.subarray(offset))
        return
      }
      const take = Math.min(this.#missing, chunk.length - offset)
      const piece = chunk.subarray(offset, offset + take)
      offset += take
      this.#missing -= take
      if (this.#state === "content") this.#handler.content(piece)
      else if (this.#state === "padding") this.#handler.raw(piece)
      else {
        this.#handler.raw(piece)
        this.#gathered.push(piece)
      }
      if (this.#missing === 0) this.#advance()
    }
  }

  /** The stream has ended. An archive without end marks is accepted, one that stops inside an entry is not. */
  finish(): void {
    const untouched = this.#state === "header" && this.#missing === BLOCK && !this.#hasExtension()
    if (this.#state !== "ended" && !untouched) throw new ArchiveError("", "the archive is cut off")
  }

  #hasExtension(): boolean {
    return this.#pax !== noRecords || this.#longName !== undefined || this.#longLink !== undefined
  }

  #gather(state: Collecting, bytes: number): void {
    this.#state = state
    this.#gathered = []
    this.#missing = bytes
  }

  #advance(): void {
    switch (this.#state) {
      case "content":
        return this.#endEntry()
      case "padding":
        return this.#gather("header", BLOCK)
      case "ended":
        return
      default: {
        const first = this.#gathered[0] as Buffer
        const block = this.#gathered.length === 1 ? first : Buffer.concat(this.#gathered)
        switch (this.#state) {
          case "header":
            return this.#header(block)
          case "extension":
            return this.#applyExtension(block)
          case "oldSparse":
            return this.#oldSparse(block)
          case "sparseMap":
            return this.#sparseMap(block)
        }
      }
    }
  }

  #header(block: Buffer): void {
    if (block[0] === 0 && isZero(block)) {
      this.#zeroBlocks += 1
      if (this.#zeroBlocks === 2) this.#state = "ended"
      else this.#gather("header", BLOCK)
      return
    }
    if (this.#zeroBlocks > 0) throw new ArchiveError("", "data after an end mark")
    this.#entries += 1
    if (this.#entries > this.#limits.entries) throw new ArchiveError("", `more than ${this.#limits.entries} entries`)
    const header = parseHeader(block)
    if (header.type === "x" || header.type === "L" || header.type === "K") {
      if (header.size > this.#limits.extensionBytes) {
        throw new ArchiveError(printable(header.name), `extension header of ${header.size} bytes`)
      }
      this.#extension = { type: header.type, size: header.size }
      if (header.size === 0) this.#applyExtension(Buffer.alloc(0))
      else this.#gather("extension", header.size + paddingOf(header.size))
      return
    }
    this.#begin(header, block)
  }

  #applyExtension(block: Buffer): void {
    const { type, size } = this.#extension as { readonly type: string; readonly size: number }
    const data = block.subarray(0, size)
    if (type === "x") this.#pax = parsePax(data)
    else {
      const text = data.toString("latin1").replace(/\0.*$/s, "")
      if (type === "L") this.#longName = text
      else this.#longLink = text
    }
    this.#gather("header", BLOCK)
  }

  #begin(header: TarHeader, block: Buffer): void {
    const pax = this.#pax
    const hasData = !"123456".includes(header.type)
    const dataSize = hasData ? (paxNumber(pax, "size") ?? header.size) : 0
    this.#pending = { header, dataSize, map: [] }
    this.#padding = paddingOf(dataSize)
    if (header.type === "S") {
      const old = oldHeaderMap(block)
      this.#pending.map = old.map
      this.#sparseFileSize = old.fileSize
      if (old.more) this.#gather("oldSparse", BLOCK)
      else this.#emit(old.map, old.fileSize)
      return
    }
    const major = paxText(pax, "GNU.sparse.major")
    const minor = paxText(pax, "GNU.sparse.minor")
    if (major === "1" && minor === "0") {
      this.#sparseFileSize = paxNumber(pax, "GNU.sparse.realsize") ?? 0
      this.#mapBlocks = Buffer.alloc(0)
      this.#moreOfSparseMap()
      return
    }
    if (major !== undefined && !(major === "0" && (minor === "0" || minor === "1"))) {
      throw new ArchiveError(printable(header.name), `sparse format ${major}.${minor ?? ""} is not known`)
    }
    const map = pax.get(SPARSE_MAP)
    if (map === undefined && paxText(pax, "GNU.sparse.size") === undefined) return this.#emit(undefined, dataSize)
    this.#emit(
      recordMap(map?.toString("latin1") ?? "", this.#limits),
      paxNumber(pax, "GNU.sparse.size") ?? paxNumber(pax, "GNU.sparse.realsize") ?? 0
    )
  }

  #oldSparse(block: Buffer): void {
    const pending = this.#pending as Pending
    if (oldExtension(pending.map, block, this.#limits)) this.#gather("oldSparse", BLOCK)
    else this.#emit(pending.map, this.#sparseFileSize)
  }

  #moreOfSparseMap(): void {
    const pending = this.#pending as Pending
    if (pending.dataSize < BLOCK) throw new ArchiveError(printable(pending.header.name), "sparse map is cut off")
    this.#gather("sparseMap", BLOCK)
  }

  #sparseMap(block: Buffer): void {
    const pending = this.#pending as Pending
    pending.dataSize -= BLOCK
    this.#mapBlocks = Buffer.concat([this.#mapBlocks, block])
    if (this.#mapBlocks.length > this.#limits.extensionBytes) {
      throw new ArchiveError(printable(pending.header.name), "sparse map is too large")
    }
    const map = bodyMap(this.#mapBlocks, this.#limits)
    if (map === undefined) this.#moreOfSparseMap()
    else this.#emit(map, this.#sparseFileSize)
  }

  /** Hands the entry over; its data follow, or the next header. */
  #emit(sparse: ReadonlyArray<Fragment> | undefined, size: number): void {
    const { header, dataSize } = this.#pending as Pending
    const pax = this.#pax
    const name = paxText(pax, "GNU.sparse.name") ?? this.#longName ?? paxText(pax, "path") ?? header.name
    // Archives from before POSIX mark directories by a slash only.
    const type = header.type === "\0" ? (name.endsWith("/") ? "5" : "0") : header.type === "S" ? "0" : header.type
    if (!knownTypes.has(type)) {
      throw new ArchiveError(printable(name), `entry type ${JSON.stringify(type)} is not supported`)
    }
    if (sparse !== undefined) checkMap(sparse, size, dataSize)
    const xattrs: Array<readonly [string, Buffer]> = []
    for (const [key, value] of pax) if (key.startsWith(XATTR)) xattrs.push([key.slice(XATTR.length), value])
    const entry: TarEntry = {
      name,
      linkName: this.#longLink ?? paxText(pax, "linkpath") ?? header.linkName,
      mode: header.mode,
      uid: paxNumber(pax, "uid") ?? header.uid,
      gid: paxNumber(pax, "gid") ?? header.gid,
      modified: paxTime(pax, "mtime") ?? header.modified,
      accessed: paxTime(pax, "atime"),
      type,
      deviceMajor: header.deviceMajor,
      deviceMinor: header.deviceMinor,
      size: type === "0" ? size : 0,
      dataSize,
      sparse,
      xattrs
    }
    this.#pending = undefined
    this.#pax = noRecords
    this.#longName = undefined
    this.#longLink = undefined
    this.#handler.entry(entry)
    this.#state = "content"
    this.#missing = dataSize
    if (dataSize === 0) this.#endEntry()
  }

  #endEntry(): void {
    this.#handler.end()
    if (this.#padding === 0) return this.#gather("header", BLOCK)
    this.#state = "padding"
    this.#missing = this.#padding
  }
}
