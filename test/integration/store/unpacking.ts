/** The real unpacker on directories of its own, with a host beside them that no archive may touch. */
import { afterAll, assert, beforeAll } from "@effect/vitest"
import { Effect } from "effect"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import type { Compression } from "../../../src/linux/LayerUnpacker.ts"
import { makeUnpacker, type UnpackerOptions } from "../../../src/linux/unpack/pool.ts"
import { chunksOf, describeTree } from "./support.ts"

export const base = mkdtempSync("/tmp/cricket-unpack-")
export const host = `${base}/host`
let hostBefore = ""
beforeAll(() => {
  mkdirSync(host, { mode: 0o755 })
  mkdirSync(`${host}/dir`)
  writeFileSync(`${host}/secret`, "secret")
  writeFileSync(`${host}/dir/file`, "file")
  hostBefore = describeTree(host)
})
afterAll(() => rmSync(base, { recursive: true, force: true }))

let count = 0
/** A layer's directory, as deep below the base as an archive's "../" must climb. */
export const freshDirectory = () => {
  const directory = `${base}/layer-${++count}/diff`
  mkdirSync(directory, { recursive: true })
  return directory
}

export interface Options extends UnpackerOptions {
  readonly compression?: Compression
  readonly size?: number
}

export const unpackInto = Effect.fnUntraced(function* (directory: string, blob: Buffer, options: Options = {}) {
  const { unpack } = yield* makeUnpacker(options)
  return yield* unpack({
    blob: chunksOf(blob, 10_000),
    compression: options.compression ?? "none",
    directory,
    tarSplitPath: `${directory}/../ts.gz`,
    blobSize: options.size ?? blob.length
  })
}, Effect.scoped)

export const hostIsUntouched = () => assert.strictEqual(describeTree(host), hostBefore)
