/** Undoes a blob's compression, strictly: a damaged, cut or prolonged stream is an error, never a shorter file. */
import { createGunzip, createZstdDecompress, type Gunzip, type ZstdDecompress } from "node:zlib"
import type { Compression } from "../LayerUnpacker.ts"
import { ArchiveError } from "./limits.ts"

const OUTPUT_CHUNK = 256 * 1024

export interface InflaterHandler {
  readonly data: (bytes: Buffer) => void
  /** Called at most once; nothing is called after it. */
  readonly fail: (error: Error) => void
}

export interface Inflater {
  /** One write at a time: the next after `done`, which says that the bytes are used up. */
  readonly write: (chunk: Buffer, done: () => void) => void
  /** `done` after the last data. */
  readonly end: (done: () => void) => void
  /** Stops at once; neither data nor failure follows. */
  readonly destroy: () => void
}

const plain = (handler: InflaterHandler): Inflater => {
  let open = true
  return {
    write: (chunk, done) => {
      if (open) handler.data(chunk)
      if (open) done()
    },
    end: (done) => {
      if (open) done()
    },
    destroy: () => {
      open = false
    }
  }
}

/** Gzip members follow one another inside one decoder; each zstd frame ends its decoder when more bytes come with it. */
const compressed = (kind: "gzip" | "zstd", handler: InflaterHandler): Inflater => {
  let decoder: Gunzip | ZstdDecompress
  let failed = false
  let fed = 0
  const fail = (error: Error) => {
    if (failed) return
    failed = true
    decoder.destroy()
    handler.fail(error)
  }
  const make = () => {
    fed = 0
    decoder =
      kind === "gzip" ? createGunzip({ chunkSize: OUTPUT_CHUNK }) : createZstdDecompress({ chunkSize: OUTPUT_CHUNK })
    decoder.on("data", (bytes: Buffer) => {
      if (!failed) handler.data(bytes)
    })
    decoder.on("error", (error) => fail(new ArchiveError("", `the ${kind} data is damaged: ${error.message}`)))
  }
  make()
  const write = (chunk: Buffer, done: () => void): void => {
    const current = decoder
    current.write(chunk, () => {
      if (failed) return
      const rest = chunk.subarray(current.bytesWritten - fed)
      fed = current.bytesWritten
      if (rest.length === 0) return done()
      if (kind === "gzip") return fail(new ArchiveError("", "bytes follow the gzip data"))
      const next = () => {
        if (failed) return
        make()
        write(rest, done)
      }
      // The frame's last data may still be on its way.
      if (current.readableEnded) next()
      else current.once("end", next)
    })
  }
  return {
    write,
    end: (done) => {
      decoder.once("end", () => {
        if (!failed) done()
      })
      decoder.end()
    },
    destroy: () => {
      failed = true
      decoder.destroy()
    }
  }
}

export const makeInflater = (compression: Compression, handler: InflaterHandler): Inflater =>
  compression === "none" ? plain(handler) : compressed(compression, handler)
