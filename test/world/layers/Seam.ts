/** How the simulated layers call their world: on behalf of one life of the daemon, through the choke point. */
import { Effect, Exit, Scope } from "effect"
import type { LinuxError } from "../../../src/linux/LinuxError.ts"
import { linuxError } from "../Calls.ts"
import { Errno } from "../Errno.ts"
import type { PipeEnd } from "../Pipe.ts"
import type { Life, World } from "../World.ts"

export class Seam {
  readonly world: World
  readonly life: Life
  constructor(world: World, life: Life) {
    this.world = world
    this.life = life
  }

  /** An end stands among the daemon's descriptors, so that its death closes it too. Answers what closes it. */
  descriptor(end: PipeEnd): () => void {
    const { fds } = this.life.process
    let free = 3
    while (fds.has(free)) free++
    fds.set(free, end)
    return () => {
      fds.delete(free)
      end.close()
    }
  }

  /** A call that is done at once. */
  sync<A>(service: string, operation: string, subject: string, act: () => A): Effect.Effect<A, LinuxError> {
    const call = { service, operation, subject, failable: true }
    const toError = (code: string) => linuxError(operation, subject, code)
    return this.world.calls.passSync(this.life, call, toError, () => {
      try {
        return Exit.succeed(act())
      } catch (error) {
        if (error instanceof Errno) return Exit.fail(toError(error.code))
        throw error
      }
    })
  }

  /** A call that takes a while. */
  effect<A>(
    service: string,
    operation: string,
    subject: string,
    act: Effect.Effect<A, LinuxError>
  ): Effect.Effect<A, LinuxError> {
    const call = { service, operation, subject, failable: true }
    return this.world.calls.pass(this.life, call, (code) => linuxError(operation, subject, code), act)
  }

  /** A place inside an operation where only the daemon or its host can fail. */
  midpoint(service: string, operation: string, subject: string): Effect.Effect<void> {
    const call = { service, operation: `${operation}…`, subject, failable: false }
    return this.world.calls.pass(this.life, call, () => undefined as never, Effect.void)
  }

  /** Waiting that is no call of its own: its end is never seen by a dead daemon. */
  whileAlive<A, E>(wait: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.onExit(wait, () => (this.life.dead() ? Effect.never : Effect.void))
  }

  /** What is taken by a call and let go of at the scope's end. */
  scoped<A, E>(take: Effect.Effect<A, E>, letGo: (taken: A) => void): Effect.Effect<A, E, Scope.Scope> {
    return Effect.uninterruptible(
      Effect.flatMap(Effect.scope, (scope) =>
        Effect.tap(take, (taken) =>
          Scope.addFinalizer(
            scope,
            this.finalizer(() => letGo(taken))
          )
        )
      )
    )
  }

  /** What a scope's end does: nothing in the world of a dead daemon. */
  finalizer(act: () => void): Effect.Effect<void> {
    return Effect.sync(() => {
      if (!this.life.dead()) act()
    })
  }
}

export const refused = <A>(
  operation: string,
  subject: string,
  effect: Effect.Effect<A, Errno>
): Effect.Effect<A, LinuxError> => Effect.mapError(effect, (error) => linuxError(operation, subject, error.code))
