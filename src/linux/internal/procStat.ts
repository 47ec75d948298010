/** /proc/PID/stat (proc_pid_stat(5)). */
import type { ProcessInfo } from "../Processes.ts"

// Places after the command, which is the only field that may hold blanks and brackets itself.
const stateField = 0
const parentField = 1
const sessionField = 3
const threadsField = 17
const startTimeField = 19

/** Undefined for a text that is not such a line. */
export const parseStat = (text: string): ProcessInfo | undefined => {
  const open = text.indexOf("(")
  const close = text.lastIndexOf(")")
  if (open === -1 || close < open) return undefined
  const fields = text.slice(close + 2).split(" ")
  const numbers = [parentField, sessionField, threadsField, startTimeField].map((field) => Number(fields[field]))
  const [parent, session, threads, startTime] = numbers as [number, number, number, number]
  const state = fields[stateField]!
  const pid = Number.parseInt(text, 10)
  if (!numbers.every(Number.isSafeInteger) || !Number.isSafeInteger(pid)) return undefined
  return {
    pid,
    parent,
    session,
    startTime,
    // The first thread may end before the others; the process runs on although that thread shows as a zombie.
    state: state === "Z" && threads > 1 ? "S" : state,
    command: text.slice(open + 1, close)
  }
}

/** True once a process does nothing more: it waits to be reaped, or is being removed. */
export const hasEnded = (info: ProcessInfo): boolean => info.state === "Z" || info.state === "X" || info.state === "x"
