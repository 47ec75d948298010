/**
 * What SPDY and WebSocket have in common once their framing is taken away. A connection belongs to a scope: closing it
 * cuts what is still open, so nothing here needs to be closed by hand on failure.
 */
import type { Effect, Stream } from "effect"
import type { TerminalSize } from "../linux/Terminal.ts"
import type { ConnectionLost } from "./StreamingError.ts"

/**
 * A raw pipe of bytes: an upgraded socket, or the tunnel through a WebSocket. The idle time-out is applied here, since
 * every frame in either direction moves bytes.
 */
export interface ByteConnection {
  /**
   * Starts with the bytes that came with the upgrade; ends at the peer's FIN. For one reader; nothing is read from the
   * peer while nobody pulls.
   */
  readonly incoming: Stream.Stream<Uint8Array, ConnectionLost>
  /** Waits until the peer has taken enough. Concurrent writes do not mix their bytes. */
  readonly write: (data: Uint8Array) => Effect.Effect<void, ConnectionLost>
  /** FIN after what was written, then close. Waits for neither longer than a few seconds. */
  readonly end: Effect.Effect<void>
  /** Completes when the connection is closed for good, by whomever. */
  readonly gone: Effect.Effect<void>
}

/** How an exec or an attachment ended, as the client shall learn it. */
export type StreamStatus =
  | { readonly _tag: "Exited"; readonly code: number }
  /** Nobody asks for an exit code: an attachment whose container ended. */
  | { readonly _tag: "Ended" }
  | { readonly _tag: "Failed"; readonly message: string }

/** The streams that were asked for in the CRI request. */
export interface SessionShape {
  readonly stdin: boolean
  readonly stdout: boolean
  /** False with a terminal. */
  readonly stderr: boolean
  readonly terminal: boolean
}

export type OutputChannel = "stdout" | "stderr"

/** An exec or an attachment. It exists once all its streams do. */
export interface Session {
  /** Ends at the client's half-close; empty when not asked for. For one reader, which holds the client back. */
  readonly stdin: Stream.Stream<Uint8Array, ConnectionLost>
  /** Sizes with a width or a height below 1 are left out. For one reader. */
  readonly resizes: Stream.Stream<TerminalSize, ConnectionLost>
  /** Waits while the client does not read. A channel that was not asked for, or that the client closed, takes all. */
  readonly write: (channel: OutputChannel, data: Uint8Array) => Effect.Effect<void, ConnectionLost>
  /** Nobody reads stdin any more: what the client still sends is dropped, and it is told where the protocol can. */
  readonly closeStdin: Effect.Effect<void>
  /** After everything written: ends the outputs, sends the status in the protocol's form, closes the connection. */
  readonly finish: (status: StreamStatus) => Effect.Effect<void>
  /** Completes when the client is gone or `finish` is done. */
  readonly gone: Effect.Effect<void>
}

/** One connection to a port of the pod. */
export interface Forward {
  /** 1 to 65535. */
  readonly port: number
  /** Ends at the client's half-close. For one reader. */
  readonly incoming: Stream.Stream<Uint8Array, ConnectionLost>
  readonly write: (data: Uint8Array) => Effect.Effect<void, ConnectionLost>
  /** The pod has no more to say; closes both streams once the client has ended too. */
  readonly endWrite: Effect.Effect<void>
  /** Writes the text to the error stream, then ends both streams. */
  readonly fail: (message: string) => Effect.Effect<void>
  /** Both directions are over: what is left of the streams is closed. Idempotent. */
  readonly close: Effect.Effect<void>
}

export interface PortForwardSession {
  /** Each as the client opens it, as many at a time as it likes within the connection's cap. Ends with the client. */
  readonly forwards: Stream.Stream<Forward, ConnectionLost>
  readonly close: Effect.Effect<void>
  readonly gone: Effect.Effect<void>
}
