/** A client at the streams of a container's first process: output from now on, input as the container was made for. */
import { Effect, Stream } from "effect"
import { Conmon } from "../conmon/Conmon.ts"
import { findContainer } from "./lookup.ts"
import { WrongState } from "./PodError.ts"
import type { ProcessStreams } from "./ProcessStreams.ts"

export interface AttachRequest {
  /** Or the beginning of it. */
  readonly containerId: string
  readonly stdin: boolean
  readonly stdout: boolean
  readonly stderr: boolean
}

export interface Attached extends ProcessStreams {
  /** Completes when the container has ended. */
  readonly ended: Effect.Effect<void>
  /** Bytes of output that this client was too slow for. The container never waits for it. */
  readonly dropped: Effect.Effect<number>
}

/** The container, if it has a process to attach to. */
export const checkAttachable = Effect.fn("checkAttachable")(function* (containerId: string) {
  const container = yield* findContainer(containerId)
  const { id, state } = container
  if (state._tag === "Created" || state._tag === "Running" || state._tag === "Stopping") return container
  return yield* new WrongState({ object: `container ${id}`, action: "attach to", reason: `it is ${state._tag}` })
})

/**
 * Streams that were not asked for are empty. Input for a container without standard input is taken and dropped. Of a
 * container with stdin_once the first client that leaves ends the standard input (conmon without --leave-stdin-open).
 */
export const attachToContainer = Effect.fn("attachToContainer")(function* (request: AttachRequest) {
  const conmon = yield* Conmon
  const { id, bundle, stdin, terminal } = yield* checkAttachable(request.containerId)
  const container = { containerId: id, bundle }
  const { stdout, stderr } = request
  const attachment = yield* conmon.attach({ ...container, stdout, stderr })
  const feeds = request.stdin && stdin
  const attached: Attached = {
    stdout: stdout ? attachment.stdout : Stream.empty,
    stderr: stderr ? attachment.stderr : Stream.empty,
    write: (data) => (feeds ? attachment.write(data) : Effect.void),
    closeStdin: feeds ? attachment.endWrite : Effect.void,
    resize: (size) => (terminal ? Effect.ignore(conmon.resize({ ...container, ...size })) : Effect.void),
    ended: attachment.ended,
    dropped: attachment.dropped
  }
  return attached
})
