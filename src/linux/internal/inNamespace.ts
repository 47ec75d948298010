/** A synchronous act of the calling thread in another network namespace. */
import { closeSync, openSync, writeSync } from "node:fs"
import { O_NOFOLLOW, O_RDONLY, setns } from "./native.ts"
import { cloneFlags } from "./pin.ts"

/** Nothing asynchronous may be begun in `act`: a thread of libuv's pool that it starts would stay there. */
export const inNetworkNamespace = <A>(path: string, act: () => A): A => {
  const origin = openSync("/proc/thread-self/ns/net", O_RDONLY)
  try {
    const target = openSync(path, O_RDONLY | O_NOFOLLOW)
    try {
      setns(target, cloneFlags.net)
    } finally {
      closeSync(target)
    }
    try {
      return act()
    } finally {
      goBack(origin)
    }
  } finally {
    closeSync(origin)
  }
}

/** A thread in a pod's namespace must never run anything else of the daemon. */
const goBack = (origin: number): void => {
  try {
    setns(origin, cloneFlags.net)
  } catch (error) {
    writeSync(2, `cricket: cannot return to the host's network namespace, aborting: ${String(error)}\n`)
    process.abort()
  }
}
