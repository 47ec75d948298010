/** Messages between the unpacker and its workers. A chunk's memory moves with it; credit flows back byte by byte. */
import type { Compression, UnpackedLayer } from "../LayerUnpacker.ts"
import type { UnpackLimits } from "./limits.ts"

export interface JobRequest {
  readonly directory: string
  readonly tarSplitPath: string
  readonly compression: Compression
  readonly blobSize: number
  readonly limits: UnpackLimits
}

export type ToWorker =
  | { readonly type: "start"; readonly job: number; readonly request: JobRequest }
  | { readonly type: "chunk"; readonly job: number; readonly data: Uint8Array }
  | { readonly type: "end"; readonly job: number }
  | { readonly type: "abort"; readonly job: number }

export type FromWorker =
  | { readonly type: "consumed"; readonly job: number; readonly bytes: number }
  | { readonly type: "done"; readonly job: number; readonly layer: UnpackedLayer }
  | { readonly type: "failed"; readonly job: number; readonly entry: string; readonly reason: string }
  /** The job has let go of everything after "abort". */
  | { readonly type: "aborted"; readonly job: number }

/** Bytes of a blob that may be on their way to a worker or waiting in it. */
export const CREDIT_BYTES = 4 * 1024 * 1024

/** Small chunks are gathered up to this many bytes before they are sent. */
export const CHUNK_BYTES = 256 * 1024

/** Handed to a worker that runs from the bundle, so that the bundle's main knows what it is. */
export interface UnpackWorkerData {
  readonly role: "unpack"
}
