/** The pods' side of a stream, with all that it needs of the daemon closed over. */
import { Context, Effect, Scope } from "effect"
import type { Connection } from "../linux/Sockets.ts"
import { type Attached, attachToContainer } from "../pod/attach.ts"
import { dialPod } from "../pod/dial.ts"
import { execInContainer } from "../pod/exec.ts"
import { Jobs } from "../pod/Jobs.ts"
import type { ProcessStreams } from "../pod/ProcessStreams.ts"
import type { TerminalSize } from "../linux/Terminal.ts"
import type { SessionShape } from "./Session.ts"

export interface ExecStream extends SessionShape {
  readonly _tag: "Exec"
  readonly containerId: string
  readonly command: ReadonlyArray<string>
}

export interface AttachStream extends SessionShape {
  readonly _tag: "Attach"
  readonly containerId: string
}

export interface PortForwardStream {
  readonly _tag: "PortForward"
  readonly podId: string
  /** For the protocol whose client cannot name them. */
  readonly ports: ReadonlyArray<number>
}

/** A CRI request whose client is still to come. */
export type StreamRequest = ExecStream | AttachStream | PortForwardStream

/** Whatever went wrong, its message is for the client. */
export interface Failure {
  readonly message: string
}

export interface RunningCommand extends ProcessStreams {
  /** Nobody is left at its terminal; no effect without one. */
  readonly hangUp: Effect.Effect<void>
  readonly exit: Effect.Effect<number, Failure>
}

export interface PodSide {
  /** Closing the scope kills what still runs. `size`: of the terminal from its start. */
  readonly exec: (
    request: ExecStream,
    size: TerminalSize | undefined
  ) => Effect.Effect<RunningCommand, Failure, Scope.Scope>
  readonly attach: (request: AttachStream) => Effect.Effect<Attached, Failure, Scope.Scope>
  readonly dial: (podId: string, port: number) => Effect.Effect<Connection, Failure, Scope.Scope>
  /** Lists what goes on at GET /debug/waits. */
  readonly named: (name: string) => <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

type Needs<F extends (...parameters: never) => unknown> = Exclude<Effect.Services<ReturnType<F>>, Scope.Scope>

export const makePodSide = Effect.gen(function* () {
  const { waiting } = yield* Jobs
  const everything = yield* Effect.context<
    Needs<typeof execInContainer> | Needs<typeof attachToContainer> | Needs<typeof dialPod>
  >()
  // What a stream holds belongs to the stream's own scope, not to the one that is around here.
  const services = Context.omit(Scope.Scope)(everything) as typeof everything
  return {
    exec: (request, size) =>
      Effect.provideContext(execInContainer(size === undefined ? request : { ...request, size }), services),
    attach: (request) => Effect.provideContext(attachToContainer(request), services),
    dial: (podId, port) => Effect.provideContext(dialPod(podId, port), services),
    named: waiting
  } satisfies PodSide
})
