/** Which namespace a sysctl belongs to (sysctl(8) keys in slash form). */
import type { PinnedKind } from "../Namespaces.ts"

const ipcKeys = /^(kernel\/(shm[^/]*|msg[^/]*|sem|sem_next_id|auto_msgmni)|fs\/mqueue\/[^/]+)$/
const utsKeys = /^kernel\/(hostname|domainname)$/

/** Undefined for a key of the whole host, and for anything that is not a plain key. */
export const namespaceOfSysctl = (path: string): PinnedKind | undefined => {
  const segments = path.split("/")
  if (path.includes("\0") || segments.some((segment) => segment === "" || segment === "." || segment === ".."))
    return undefined
  if (segments[0] === "net" && segments.length > 1) return "net"
  if (ipcKeys.test(path)) return "ipc"
  return utsKeys.test(path) ? "uts" : undefined
}
