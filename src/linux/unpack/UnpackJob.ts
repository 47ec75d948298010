/** One layer on its way from blob bytes to files: inflate, both digests, tar, files, tar-split, in one pass. */
import { createHash } from "node:crypto"
import { fsyncSync, openSync } from "node:fs"
import { messageOf } from "../messageOf.ts"
import type { UnpackedLayer } from "../LayerUnpacker.ts"
import { makeInflater, type Inflater } from "./Inflater.ts"
import { LayerWriter } from "./LayerWriter.ts"
import { ArchiveError, type UnpackLimits } from "./limits.ts"
import { withFd } from "./native.ts"
import { printable } from "./path.ts"
import type { JobRequest } from "./protocol.ts"
import { TarReader } from "./TarReader.ts"
import { TarSplit } from "./TarSplit.ts"

const ascending = (numbers: ReadonlySet<number>): ReadonlyArray<number> => [...numbers].sort((a, b) => a - b)

export interface JobHandler {
  /** Bytes of the blob that are used up, so as many more may be sent. */
  readonly consumed: (bytes: number) => void
  readonly done: (layer: UnpackedLayer) => void
  readonly failed: (error: { readonly entry: string; readonly reason: string }) => void
}

export class UnpackJob {
  readonly #request: JobRequest
  readonly #limits: UnpackLimits
  readonly #handler: JobHandler
  readonly #blobHash = createHash("sha256")
  readonly #diffHash = createHash("sha256")
  readonly #uids = new Set<number>()
  readonly #gids = new Set<number>()
  readonly #writer: LayerWriter
  readonly #split: TarSplit
  readonly #reader: TarReader
  readonly #inflater: Inflater
  readonly #queue: Array<Buffer> = []
  #writing = false
  #ended = false
  #over = false
  #blobBytes = 0
  #diffBytes = 0
  /** The entry being read, for messages. */
  #entry = ""

  constructor(request: JobRequest, handler: JobHandler) {
    this.#request = request
    this.#limits = request.limits
    this.#handler = handler
    this.#writer = new LayerWriter(request.directory, request.limits)
    try {
      this.#split = new TarSplit(request.tarSplitPath)
    } catch (error) {
      this.#writer.close()
      throw error
    }
    this.#reader = new TarReader(
      {
        raw: (bytes) => this.#split.raw(bytes),
        entry: (entry) => {
          this.#entry = printable(entry.name)
          this.#uids.add(entry.uid)
          this.#gids.add(entry.gid)
          this.#writer.begin(entry)
          this.#split.begin(entry)
        },
        content: (bytes) => {
          this.#writer.content(bytes)
          this.#split.content(bytes)
        },
        end: () => {
          this.#writer.end()
          this.#split.end()
          this.#entry = ""
        }
      },
      request.limits
    )
    this.#inflater = makeInflater(request.compression, {
      data: (bytes) => this.#guard(() => this.#tar(bytes)),
      fail: (error) => this.#fail(error)
    })
  }

  push(chunk: Buffer): void {
    if (this.#over) return
    this.#queue.push(chunk)
    this.#next()
  }

  /** No more chunks come. */
  end(): void {
    this.#ended = true
    this.#next()
  }

  /** Gives everything back; the directory stays as it is. */
  abort(): void {
    if (this.#over) return
    this.#over = true
    this.#queue.length = 0
    this.#inflater.destroy()
    this.#writer.close()
    this.#split.close()
  }

  #guard(step: () => void): void {
    if (this.#over) return
    try {
      step()
    } catch (error) {
      this.#fail(error)
    }
  }

  #fail(error: unknown): void {
    if (this.#over) return
    const entry = (error instanceof ArchiveError ? error.entry : "") || this.#entry
    this.abort()
    this.#handler.failed({ entry, reason: messageOf(error) })
  }

  #next(): void {
    if (this.#writing || this.#over) return
    const chunk = this.#queue.shift()
    if (chunk === undefined) {
      if (!this.#ended) return
      this.#writing = true
      return this.#inflater.end(() => this.#guard(() => this.#finish()))
    }
    this.#guard(() => {
      this.#blobBytes += chunk.length
      if (this.#blobBytes > this.#request.blobSize) {
        throw new ArchiveError("", `the blob is longer than the ${this.#request.blobSize} bytes announced`)
      }
      this.#blobHash.update(chunk)
      this.#writing = true
      this.#inflater.write(chunk, () => {
        this.#writing = false
        if (this.#over) return
        this.#handler.consumed(chunk.length)
        this.#next()
      })
    })
  }

  #tar(bytes: Buffer): void {
    const limits = this.#limits
    this.#diffBytes += bytes.length
    if (this.#diffBytes > limits.inflatedBytes) {
      throw new ArchiveError("", `the layer is larger than ${limits.inflatedBytes} bytes`)
    }
    if (this.#diffBytes > limits.ratioFloorBytes && this.#diffBytes > this.#request.blobSize * limits.ratio) {
      throw new ArchiveError("", `the layer inflates to more than ${limits.ratio} times its size`)
    }
    this.#diffHash.update(bytes)
    this.#reader.push(bytes)
  }

  #finish(): void {
    if (this.#blobBytes < this.#request.blobSize) {
      throw new ArchiveError("", `the blob ended after ${this.#blobBytes} of ${this.#request.blobSize} bytes`)
    }
    this.#reader.finish()
    this.#split.finish()
    withFd(openSync(this.#request.tarSplitPath, "r"), fsyncSync)
    this.#writer.finish()
    this.#over = true
    this.#handler.done({
      blobDigest: `sha256:${this.#blobHash.digest("hex")}`,
      blobSize: this.#blobBytes,
      diffId: `sha256:${this.#diffHash.digest("hex")}`,
      diffSize: this.#diffBytes,
      uids: ascending(this.#uids),
      gids: ascending(this.#gids)
    })
  }
}
