/** Connections that the daemon makes for clients: to a pod's ports, to monitors, to the terminal of an exec. */
import { Context, type Effect, Layer, type Scope, type Stream } from "effect"
import { makeSockets } from "./internal/sockets.ts"
import type { LinuxError } from "./LinuxError.ts"
import type { Terminal } from "./Terminal.ts"

/** Both directions of a connection; closed with its scope. */
export interface Connection {
  /** Ends at the peer's FIN. For one reader; nothing is read while nobody pulls. */
  readonly incoming: Stream.Stream<Uint8Array, LinuxError>
  /** Waits until the kernel has taken all. EPIPE when the peer reads no more. */
  readonly write: (data: Uint8Array) => Effect.Effect<void, LinuxError>
  /** FIN; the other direction stays. */
  readonly endWrite: Effect.Effect<void>
}

export interface DialRequest {
  /** A pinned network namespace; undefined for the host's. */
  readonly namespace: string | undefined
  readonly address: "127.0.0.1" | "::1"
  readonly port: number
}

export interface TerminalListener {
  /** For `--console-socket`: the path asked for, or one that leads there and fits into a socket's address. */
  readonly address: string
  /** The first terminal that is sent. */
  readonly terminal: Effect.Effect<Terminal, LinuxError, Scope.Scope>
}

export class Sockets extends Context.Service<
  Sockets,
  {
    /**
     * TCP. The socket is made inside the namespace, so nothing else is ever reached through it. ECONNREFUSED when nobody
     * listens, EADDRNOTAVAIL where the namespace has no such address.
     */
    readonly dial: (request: DialRequest) => Effect.Effect<Connection, LinuxError, Scope.Scope>
    /** A SOCK_SEQPACKET unix socket, however long its path: each chunk is a packet, each write makes one. */
    readonly connectPackets: (path: string) => Effect.Effect<Connection, LinuxError, Scope.Scope>
    /** Listens at `path` (0600, removed with the scope) for the master of a pseudo-terminal (SCM_RIGHTS). */
    readonly listenForTerminal: (path: string) => Effect.Effect<TerminalListener, LinuxError, Scope.Scope>
  }
>()("cricket/linux/Sockets") {
  static readonly layer = Layer.sync(Sockets, makeSockets)
}
