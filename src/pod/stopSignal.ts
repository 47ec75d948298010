/**
 * The stop signal reaches a process that can take it, once. The first process of a PID namespace loses every signal that
 * it has no handler for (pid_namespaces(7)): one that is only just starting would run on until SIGKILL.
 */
import { Effect } from "effect"
import { Files } from "../linux/Files.ts"
import { type ProcessIdentity, Processes } from "../linux/Processes.ts"
import { SIGKILL } from "../model/Signal.ts"

const SIGSTOP = 19

const lastOf = (status: string, field: string): string =>
  new RegExp(`^${field}:.*?(\\S+)$`, "m").exec(status)?.[1] ?? ""

const has = (status: string, mask: "SigCgt" | "SigBlk", signal: number): boolean =>
  ((BigInt(`0x${lastOf(status, mask) || "0"}`) >> BigInt(signal - 1)) & 1n) === 1n

/** runc on its way to the container's program: it handles every signal, and forgets it. */
const isRuntime = (status: string): boolean => /^Name:\s*runc:\[/m.test(status)

/** `status` is /proc/PID/status. A blocked signal is kept for the process, which may be waiting for it. */
export const takesSignal = (status: string, signal: number): boolean =>
  signal === SIGKILL ||
  signal === SIGSTOP ||
  (!isRuntime(status) &&
    (lastOf(status, "NSpid") !== "1" || has(status, "SigCgt", signal) || has(status, "SigBlk", signal)))

/** Milliseconds between two looks at a process without a handler: at first, and at most. */
const shortestPause = 5
const longestPause = 1000

/** Returns when the process has its signal or has ended: never, if it installs no handler. */
export const sendStopSignal = Effect.fn("sendStopSignal")(function* (process: ProcessIdentity, signal: number) {
  const files = yield* Files
  const processes = yield* Processes
  const ready = files.readText(`/proc/${process.pid}/status`).pipe(
    Effect.map((status) => takesSignal(status, signal)),
    // It has ended, which signalling finds out.
    Effect.orElseSucceed(() => true)
  )
  for (let pause = shortestPause; !(yield* ready); pause = Math.min(pause * 2, longestPause)) yield* Effect.sleep(pause)
  yield* processes.signal(process, signal)
})
