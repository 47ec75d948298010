/** The process table, read from /proc. These files are made in memory: reading one takes some 20 µs. */
import { closeSync, openSync, readdirSync, readSync } from "node:fs"
import { setImmediate } from "node:timers/promises"
import type { ProcessIdentity, ProcessInfo } from "../Processes.ts"
import { codeOf, Refused } from "./attempt.ts"
import { close, type Fd, pidfdOpen } from "./native.ts"
import { hasEnded, parseStat } from "./procStat.ts"

const oneOf = (error: unknown, ...codes: ReadonlyArray<string>) => codes.includes(codeOf(error) ?? "")

// Many times what such a line holds. readFileSync would take 128 KiB for each of these files, since it finds no size.
const scratch = Buffer.allocUnsafe(4096)

/** In one read(2), which gives all of such a file. Latin-1: a process may name itself by any bytes. */
const readStat = (pid: number): string => {
  const fd = openSync(`/proc/${pid}/stat`, "r")
  try {
    return scratch.toString("latin1", 0, readSync(fd, scratch))
  } finally {
    closeSync(fd)
  }
}

/** Undefined when there is no such process. */
export const readProcess = (pid: number): ProcessInfo | undefined => {
  let text: string
  try {
    text = readStat(pid)
  } catch (error) {
    // ESRCH: it ended between open and read.
    if (oneOf(error, "ENOENT", "ESRCH")) return undefined
    throw error
  }
  const info = parseStat(text)
  if (info === undefined) throw new Refused("EBADMSG", `/proc/${pid}/stat is not understood`)
  return info
}

// So many reads take about a millisecond.
const slice = 50

export const listProcesses = async (): Promise<ReadonlyArray<ProcessInfo>> => {
  const pids = readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name))
  const found: Array<ProcessInfo> = []
  for (const [index, pid] of pids.entries()) {
    if (index % slice === slice - 1) await setImmediate()
    const info = readProcess(Number(pid))
    if (info !== undefined) found.push(info)
  }
  return found
}

/** A pidfd of exactly this process, or undefined when it has ended, its pid given to another or not. */
export const openProcess = (identity: ProcessIdentity): Fd | undefined => {
  let fd: Fd
  try {
    fd = pidfdOpen(identity.pid)
  } catch (error) {
    // EINVAL and (since Linux 6.9) ENOENT: the pid now is a thread of another process.
    if (identity.pid > 0 && oneOf(error, "ESRCH", "EINVAL", "ENOENT")) return undefined
    throw error
  }
  try {
    // Looked up after the pidfd was opened: if the start time is right now, the pidfd is right.
    const info = readProcess(identity.pid)
    if (info !== undefined && info.startTime === identity.startTime && !hasEnded(info)) return fd
  } catch (error) {
    close(fd)
    throw error
  }
  close(fd)
  return undefined
}
