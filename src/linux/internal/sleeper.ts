/** A child that holds new namespaces open while they are furnished and pinned. */
import { addressOf, checked } from "./native.ts"

const CLONE_VM = 0x100
const SIG_SETMASK = 2
const __WALL = 0x40000000
const sizeOfStack = 64 * 1024
const sizeOfSignalSet = 128
const limitSeconds = 30

const clone = checked("clone", "int clone(void* start, void* stack, int flags, long argument)")
const signalMask = checked("pthread_sigmask", "int pthread_sigmask(int how, void* set, void* previous)")
const waitpid = checked("waitpid", "int waitpid(int pid, void* status, int options)")

let stack: Buffer | undefined

/**
 * The pid of a child in new namespaces (CLONE_NEW*) that does nothing but sleep: the kernel makes user namespaces for
 * processes with a single thread only. It shares our memory, so that nothing is copied, and takes no signal that would
 * run our code in it. The caller ends it in the same synchronous block; had we died before that, it ends by itself.
 */
export const startSleeper = (namespaces: number): number => {
  const previous = Buffer.alloc(sizeOfSignalSet)
  signalMask(SIG_SETMASK, Buffer.alloc(sizeOfSignalSet, 0xff), previous)
  try {
    // It grows downwards, from a multiple of 16.
    const top = (stack ??= Buffer.alloc(sizeOfStack)).subarray(sizeOfStack - 64)
    return clone(addressOf("sleep"), top, namespaces | CLONE_VM, limitSeconds)
  } finally {
    signalMask(SIG_SETMASK, previous, null)
  }
}

/** Kills and reaps it. It announces its end to nobody, so that no other waiter sees it. */
export const endSleeper = (pid: number): void => {
  process.kill(pid, "SIGKILL")
  waitpid(pid, null, __WALL)
}
