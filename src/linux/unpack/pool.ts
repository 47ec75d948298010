/** The unpacker's side of the main thread: feeds jobs to at most two worker threads and answers for them. */
import { Worker } from "node:worker_threads"
import { Deferred, type Duration, Effect, FiberMap, type Scope, Stream } from "effect"
import { messageOf } from "../messageOf.ts"
import type { UnpackedLayer, UnpackRequest } from "../LayerUnpacker.ts"
import { defaultLimits, type UnpackLimits } from "./limits.ts"
import { CHUNK_BYTES, CREDIT_BYTES, type FromWorker, type ToWorker, type UnpackWorkerData } from "./protocol.ts"
import { UnpackError } from "./UnpackError.ts"
import { unpackWorkerUrl } from "./workerEntry.ts"

export interface UnpackerOptions {
  readonly limits?: Partial<UnpackLimits>
  /** Threads at most. Default 2. */
  readonly workers?: number
  /** A thread without a job for this long is ended. Default 30 seconds. */
  readonly idle?: Duration.Input
}

interface Job {
  readonly id: number
  readonly directory: string
  readonly slot: Slot
  readonly result: Deferred.Deferred<UnpackedLayer, UnpackError>
  /** Done when the worker has let go of the directory. */
  readonly released: Deferred.Deferred<void>
  credit: number
  wake: (() => void) | undefined
}

interface Slot {
  readonly id: number
  readonly worker: Worker
  readonly jobs: Map<number, Job>
}

const post = (slot: Slot, message: ToWorker, transfer: ReadonlyArray<ArrayBuffer> = []): void =>
  slot.worker.postMessage(message, [...transfer])

const receive = (slot: Slot, message: FromWorker): void => {
  const job = slot.jobs.get(message.job)
  if (job === undefined) return
  switch (message.type) {
    case "consumed":
      job.credit += message.bytes
      return job.wake?.()
    case "done":
      Deferred.doneUnsafe(job.released, Effect.void)
      Deferred.doneUnsafe(job.result, Effect.succeed(message.layer))
      return
    case "failed": {
      const { entry, reason } = message
      Deferred.doneUnsafe(job.released, Effect.void)
      Deferred.doneUnsafe(job.result, Effect.fail(new UnpackError({ directory: job.directory, entry, reason })))
      return
    }
    case "aborted":
      Deferred.doneUnsafe(job.released, Effect.void)
  }
}

/** Waits until the worker has used up enough of what it was sent. */
const room = (job: Job, bytes: number): Effect.Effect<void> =>
  Effect.suspend(() =>
    job.credit >= bytes
      ? Effect.void
      : Effect.callback<void>((resume) => {
          job.wake = () => resume(Effect.void)
          return Effect.sync(() => {
            job.wake = undefined
          })
        }).pipe(Effect.andThen(room(job, bytes)))
  )

/** Sends the whole blob. Bytes are copied: the caller's buffers stay its own, ours move to the worker. */
const feed = Effect.fnUntraced(function* <E>(job: Job, blob: Stream.Stream<Uint8Array, E>) {
  let gathered = new Uint8Array(CHUNK_BYTES)
  let used = 0
  const flush = Effect.suspend(() => {
    const data = gathered.subarray(0, used)
    return Effect.map(room(job, data.length), () => {
      job.credit -= data.length
      post(job.slot, { type: "chunk", job: job.id, data }, [gathered.buffer])
      gathered = new Uint8Array(CHUNK_BYTES)
      used = 0
    })
  })
  const add = Effect.fnUntraced(function* (chunk: Uint8Array) {
    for (let offset = 0; offset < chunk.length;) {
      const piece = chunk.subarray(offset, offset + CHUNK_BYTES - used)
      gathered.set(piece, used)
      used += piece.length
      offset += piece.length
      if (used === CHUNK_BYTES) yield* flush
    }
  })
  yield* Stream.runForEach(blob, add)
  if (used > 0) yield* flush
  post(job.slot, { type: "end", job: job.id })
})

export const makeUnpacker = Effect.fnUntraced(function* (
  options: UnpackerOptions
): Effect.fn.Return<
  { readonly unpack: <E>(request: UnpackRequest<E>) => Effect.Effect<UnpackedLayer, UnpackError | E> },
  never,
  Scope.Scope
> {
  const limits = { ...defaultLimits, ...options.limits }
  const maxWorkers = options.workers ?? 2
  const idle = options.idle ?? "30 seconds"
  const slots = new Map<number, Slot>()
  const idling = yield* FiberMap.make<number, void>()
  let lastId = 0

  const end = (slot: Slot) =>
    Effect.promise(() => {
      slots.delete(slot.id)
      return slot.worker.terminate()
    })
  const endIfIdle = (slot: Slot) => Effect.suspend(() => (slot.jobs.size === 0 ? end(slot) : Effect.void))
  yield* Effect.addFinalizer(() => Effect.forEach([...slots.values()], end, { discard: true }))

  const startWorker = (): Slot => {
    const workerData: UnpackWorkerData = { role: "unpack" }
    // Descriptors come from system calls that Node does not see: its bookkeeping would call each close an accident.
    const worker = new Worker(unpackWorkerUrl(), { workerData, trackUnmanagedFds: false })
    const slot: Slot = { id: ++lastId, worker, jobs: new Map() }
    slot.worker.unref()
    slot.worker.on("message", (message: FromWorker) => receive(slot, message))
    const died = (reason: string) => {
      slots.delete(slot.id)
      for (const job of slot.jobs.values()) {
        Deferred.doneUnsafe(job.released, Effect.void)
        Deferred.doneUnsafe(
          job.result,
          Effect.fail(
            new UnpackError({ directory: job.directory, entry: "", reason: `the unpack worker ended: ${reason}` })
          )
        )
      }
    }
    slot.worker.on("error", (error) => died(messageOf(error)))
    slot.worker.on("exit", (code) => died(`exit code ${code}`))
    slots.set(slot.id, slot)
    return slot
  }

  /** The idlest worker, or a new one while there may be more. */
  const chooseSlot = (): Slot => {
    const [idlest] = [...slots.values()].sort((a, b) => a.jobs.size - b.jobs.size)
    return idlest === undefined || (idlest.jobs.size > 0 && slots.size < maxWorkers) ? startWorker() : idlest
  }

  const begin = Effect.fnUntraced(function* <E>(request: UnpackRequest<E>) {
    const result = yield* Deferred.make<UnpackedLayer, UnpackError>()
    const released = yield* Deferred.make<void>()
    const slot = chooseSlot()
    const { directory, tarSplitPath, compression, blobSize } = request
    const job: Job = { id: ++lastId, directory, slot, result, released, credit: CREDIT_BYTES, wake: undefined }
    slot.jobs.set(job.id, job)
    slot.worker.ref()
    yield* FiberMap.remove(idling, slot.id)
    post(slot, {
      type: "start",
      job: job.id,
      request: { directory, tarSplitPath, compression, blobSize, limits }
    })
    return job
  })

  const release = Effect.fnUntraced(function* (job: Job) {
    if (!(yield* Deferred.isDone(job.released))) post(job.slot, { type: "abort", job: job.id })
    yield* Deferred.await(job.released)
    job.slot.jobs.delete(job.id)
    if (job.slot.jobs.size > 0 || !slots.has(job.slot.id)) return
    job.slot.worker.unref()
    yield* FiberMap.run(idling, job.slot.id, Effect.andThen(Effect.sleep(idle), endIfIdle(job.slot)))
  })

  const unpack = Effect.fn("LayerUnpacker.unpack")(function* <E>(request: UnpackRequest<E>) {
    return yield* Effect.acquireUseRelease(
      begin(request),
      (job) => Effect.raceFirst(Deferred.await(job.result), Effect.andThen(feed(job, request.blob), Effect.never)),
      release
    )
  })
  return { unpack }
})
