/** The master side of a pseudo-terminal: what the program behind it writes and reads. */
import type { Effect, Stream } from "effect"
import type { LinuxError } from "./LinuxError.ts"

/** In characters, 0 to 65535. */
export interface TerminalSize {
  readonly width: number
  readonly height: number
}

export interface Terminal {
  /** Ends when the last program has closed the terminal. For one reader. */
  readonly output: Stream.Stream<Uint8Array, LinuxError>
  /** Waits while the program does not read. */
  readonly write: (data: Uint8Array) => Effect.Effect<void, LinuxError>
  readonly resize: (size: TerminalSize) => Effect.Effect<void, LinuxError>
}
