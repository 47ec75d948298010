/** The standard streams of a process in a container, as exec and attach give them to a client. */
import type { Effect, Stream } from "effect"
import type { LinuxError } from "../linux/LinuxError.ts"
import type { TerminalSize } from "../linux/Terminal.ts"

/** They belong to a scope: closing it ends what is still open. */
export interface ProcessStreams {
  /** Ends with the process, or when it closes it. For one reader. */
  readonly stdout: Stream.Stream<Uint8Array, LinuxError>
  /** Empty with a terminal. */
  readonly stderr: Stream.Stream<Uint8Array, LinuxError>
  /** Waits while the process does not read; EPIPE when it never will again. */
  readonly write: (data: Uint8Array) => Effect.Effect<void, LinuxError>
  readonly closeStdin: Effect.Effect<void>
  /** No effect without a terminal, or when the process has ended. */
  readonly resize: (size: TerminalSize) => Effect.Effect<void>
}
