/** The worker thread that unpacks layers. Started from this file, or from the bundle, whose main calls `runUnpackWorker`. */
import { isMainThread, parentPort, workerData } from "node:worker_threads"
import { messageOf } from "../messageOf.ts"
import type { FromWorker, ToWorker } from "./protocol.ts"
import { UnpackJob } from "./UnpackJob.ts"

/**
 * Serves jobs until the parent ends the thread. Several may run at a time: each takes its turn chunk by chunk, so a
 * layer that waits for the network holds up nobody.
 */
export const runUnpackWorker = (): void => {
  const port = parentPort
  if (port === null) throw new Error("the unpack worker needs a parent thread")
  const send = (message: FromWorker) => port.postMessage(message)
  const jobs = new Map<number, UnpackJob>()
  const start = (job: number, request: ToWorker & { readonly type: "start" }) => {
    const failed = ({ entry, reason }: { readonly entry: string; readonly reason: string }) => {
      jobs.delete(job)
      send({ type: "failed", job, entry, reason })
    }
    try {
      jobs.set(
        job,
        new UnpackJob(request.request, {
          consumed: (bytes) => send({ type: "consumed", job, bytes }),
          done: (layer) => {
            jobs.delete(job)
            send({ type: "done", job, layer })
          },
          failed
        })
      )
    } catch (error) {
      failed({ entry: "", reason: messageOf(error) })
    }
  }
  port.on("message", (message: ToWorker) => {
    switch (message.type) {
      case "start":
        return start(message.job, message)
      case "chunk":
        return jobs
          .get(message.job)
          ?.push(Buffer.from(message.data.buffer, message.data.byteOffset, message.data.length))
      case "end":
        return jobs.get(message.job)?.end()
      case "abort":
        jobs.get(message.job)?.abort()
        jobs.delete(message.job)
        return send({ type: "aborted", job: message.job })
    }
  })
}

if (!isMainThread && workerData?.role === "unpack" && import.meta.url.endsWith("/unpack/worker.ts")) runUnpackWorker()
