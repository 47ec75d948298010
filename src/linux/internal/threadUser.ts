/** Another effective user for the calling thread alone, for checks that look at nothing else. */
import { writeSync } from "node:fs"
import { checked } from "./native.ts"

// setresuid is older than the numbers that all architectures share.
const SYS_setresuid = process.arch === "arm64" ? 147 : 117
const PR_GET_DUMPABLE = 3
const PR_SET_DUMPABLE = 4

// The C library's own setresuid(3) would change every thread.
const setUsers = checked("setresuid", "long syscall(long number, long real, long effective, long saved)")
const prctl = checked("prctl", "int prctl(int option, unsigned long value)")

/** Runs a synchronous block as that user, without the thread's capabilities. */
export const asUser = (uid: number, block: () => void): void => {
  const dumpable = prctl(PR_GET_DUMPABLE, 0)
  setUsers(SYS_setresuid, -1, uid, -1)
  try {
    block()
  } finally {
    try {
      setUsers(SYS_setresuid, -1, 0, -1)
    } catch (error) {
      writeSync(2, `cricket: cannot become root again, aborting: ${String(error)}\n`)
      process.abort()
    }
    // The kernel takes it away from whoever changes users.
    prctl(PR_SET_DUMPABLE, dumpable)
  }
}
