/** Turns calls that throw, from node:fs or the C library, into effects that fail with a LinuxError. */
import { Effect } from "effect"
import { LinuxError } from "../LinuxError.ts"
import { errnoName } from "./native.ts"

/** Thrown inside this floor where a rule of ours, not the kernel, refuses. */
export class Refused extends Error {
  readonly code: string
  constructor(code: string, why: string) {
    super(why)
    this.code = code
  }
}

/** The errno's name of anything thrown by node:fs or the C library; undefined for what is neither. */
export const codeOf = (thrown: unknown): string | undefined => {
  if (!(thrown instanceof Error) || !("code" in thrown) || typeof thrown.code !== "string") return undefined
  // node:fs has no names for the errnos that libuv does not know.
  if (thrown.code.startsWith("Unknown system error") && "errno" in thrown)
    return errnoName(Math.abs(Number(thrown.errno)))
  // Node's own refusal of an argument, such as a path with a NUL.
  return thrown.code.startsWith("ERR_") ? "EINVAL" : thrown.code
}

export const linuxError = (operation: string, subject: string, thrown: unknown): LinuxError =>
  new LinuxError({ operation, subject, code: codeOf(thrown) ?? "EIO", cause: thrown })

export const refuse = (operation: string, subject: string, code: string, why: string): LinuxError =>
  linuxError(operation, subject, new Refused(code, why))

/**
 * A short operation on a pool thread. It is not interruptible: the kernel would finish it anyway, after the caller has
 * gone on to undo it.
 */
export const attempt = <A>(operation: string, subject: string, run: () => Promise<A>): Effect.Effect<A, LinuxError> =>
  Effect.uninterruptible(Effect.tryPromise({ try: run, catch: (thrown) => linuxError(operation, subject, thrown) }))

export const attemptSync = <A>(operation: string, subject: string, run: () => A): Effect.Effect<A, LinuxError> =>
  Effect.try({ try: run, catch: (thrown) => linuxError(operation, subject, thrown) })

/** A long operation made of short steps: interruption aborts the signal and waits for the step in hand. */
export const attemptSteps = <A>(
  operation: string,
  subject: string,
  run: (signal: AbortSignal) => Promise<A>
): Effect.Effect<A, LinuxError> =>
  Effect.callback((resume, signal) => {
    const settled = run(signal).then(
      (value) => resume(Effect.succeed(value)),
      (thrown: unknown) => resume(Effect.fail(linuxError(operation, subject, thrown)))
    )
    return Effect.promise(() => settled)
  })
