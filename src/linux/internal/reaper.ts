/**
 * Reaps our children: each pid by itself, because libuv and whoever else starts processes wait for theirs. Its signal
 * handler and its timer exist only while there is a child to wait for.
 */
import type { ExitStatus } from "../Processes.ts"
import { waitpid } from "./native.ts"

// Signals can be lost to a handler that another library puts in place; a child must not be.
const safetyPollMs = 1000

/** Status as waitpid(2) encodes it. */
export const decodeWaitStatus = (status: number): ExitStatus => {
  const signal = status & 0x7f
  return signal === 0 ? { code: (status >> 8) & 0xff, signal: null } : { code: null, signal }
}

const children = new Map<number, (status: ExitStatus) => void>()
let timer: NodeJS.Timeout | undefined

const reapOne = (pid: number, done: (status: ExitStatus) => void): void => {
  const status = waitpid(pid)
  if (status === undefined) return
  children.delete(pid)
  done(decodeWaitStatus(status))
}

const reapAll = () => {
  for (const [pid, done] of children) reapOne(pid, done)
  if (children.size === 0) {
    process.off("SIGCHLD", reapAll)
    clearInterval(timer)
    timer = undefined
  }
}

/** Calls back, perhaps at once, when the child has ended and is reaped. Every child must be registered exactly once. */
export const onExit = (pid: number, done: (status: ExitStatus) => void): void => {
  children.set(pid, done)
  if (timer === undefined) {
    process.on("SIGCHLD", reapAll)
    timer = setInterval(reapAll, safetyPollMs)
  }
  // It may have ended before we listened.
  reapAll()
}
