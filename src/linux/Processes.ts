/** Processes: the only way in which Cricket starts, finds, signals and awaits one. */
import { Context, type Effect, Layer, type Option, type Scope, type Stream } from "effect"
import { makeProcesses } from "./internal/processes.ts"
import type { LinuxError } from "./LinuxError.ts"
import type { Terminal } from "./Terminal.ts"

export { hasEnded } from "./internal/procStat.ts"

/** Pid and start time together name one process for the life of a boot: pids are used again. */
export interface ProcessIdentity {
  readonly pid: number
  /** Clock ticks since boot (proc_pid_stat(5) field 22). */
  readonly startTime: number
}

export interface ProcessInfo extends ProcessIdentity {
  readonly parent: number
  readonly session: number
  /** One letter of proc_pid_stat(5): "R", "S", "Z" … */
  readonly state: string
  readonly command: string
}

/** Exactly one of the two is not null. */
export interface ExitStatus {
  readonly code: number | null
  /** Signal number. */
  readonly signal: number | null
}

/**
 * What a child finds at a file descriptor. "input" is a pipe that we write, "output" one that we read. All "terminal"
 * are one new pseudo-terminal in raw mode, which controls the child; that then leads a session of its own. A file is made in memory,
 * with this content; the child opens it as /proc/self/fd/N.
 */
export type ChildFd = "null" | "input" | "output" | "terminal" | { readonly file: Uint8Array }

/** What an output said. */
export interface Collected {
  /** By now. */
  readonly bytes: () => Uint8Array
  /** Completes when the last writer has closed it. */
  readonly ended: Effect.Effect<void, LinuxError>
}

export interface SpawnRequest {
  /** Absolute path of the program; no search, no shell. */
  readonly path: string
  /** Without argv[0], which is `path`. */
  readonly args: ReadonlyArray<string>
  /** The whole environment: nothing is inherited. */
  readonly env: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Indexed by descriptor number, from 0; every other descriptor is closed in the child. */
  readonly fds: ReadonlyArray<ChildFd>
  readonly newSession?: boolean
}

export interface Child {
  readonly identity: ProcessIdentity
  readonly exit: Effect.Effect<ExitStatus>
  /** Bytes of an "output" descriptor until the last writer closes it; may be run once. */
  readonly output: (fd: number) => Stream.Stream<Uint8Array, LinuxError>
  /** Instead of `output`: begins to read at once, keeps the first `limit` bytes and drops what comes after. */
  readonly collect: (fd: number, limit: number) => Collected
  /** What a file in memory holds by now. */
  readonly content: (fd: number) => Effect.Effect<Uint8Array, LinuxError>
  /** Present when a descriptor is a "terminal". */
  readonly terminal?: Terminal
  /** Writes to an "input" descriptor; EPIPE when the reader is gone. */
  readonly write: (fd: number, data: Uint8Array) => Effect.Effect<void, LinuxError>
  readonly close: (fd: number) => Effect.Effect<void>
}

export interface RunRequest {
  readonly path: string
  readonly args: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly stdin?: Uint8Array
  /** Bytes kept of each of stdout and stderr; the rest is read and dropped. Default 1 MiB. */
  readonly maxOutput?: number
}

export interface RunResult extends ExitStatus {
  readonly stdout: Uint8Array
  readonly stderr: Uint8Array
}

export class Processes extends Context.Service<
  Processes,
  {
    /**
     * Starts a child (posix_spawn). Closing the scope closes our ends of its pipes and SIGKILLs it if it still runs;
     * what it has double-forked (conmon) lives on. It is always reaped.
     */
    readonly spawn: (request: SpawnRequest) => Effect.Effect<Child, LinuxError, Scope.Scope>
    /**
     * Starts a child, feeds it, collects both outputs, waits. Interruption kills it. A grandchild that keeps the outputs
     * open delays the result by at most 2 s after the child's end.
     */
    readonly run: (request: RunRequest) => Effect.Effect<RunResult, LinuxError>
    /**
     * None when there is no such process. A zombie is still found, with state "Z"; a process of which only the first
     * thread has ended is shown as "S".
     */
    readonly find: (pid: number) => Effect.Effect<Option.Option<ProcessInfo>, LinuxError>
    readonly list: Effect.Effect<ReadonlyArray<ProcessInfo>, LinuxError>
    /** Sends a signal through a pidfd after checking the start time. False when that process has ended, zombies too. */
    readonly signal: (process: ProcessIdentity, signal: number) => Effect.Effect<boolean, LinuxError>
    /** Waits until the process, ours or not, has ended (pidfd becomes readable; a zombie has ended). */
    readonly awaitEnd: (process: ProcessIdentity) => Effect.Effect<void, LinuxError>
  }
>()("cricket/linux/Processes") {
  static readonly layer = Layer.sync(Processes, makeProcesses)
}
