/** Terminal sizes as remotecommand v3 and later write them on a stream: one JSON object after the other. */
import type { TerminalSize } from "../../linux/Terminal.ts"
import { terminalSize } from "../terminalSize.ts"

// Two numbers with their names; a client that never ends an object must not make us keep it all.
const longestObject = 1024

/**
 * Gives the sizes that a piece of the text completes. Objects that are no size are left out: they are how a client
 * without a terminal says so.
 */
export const makeResizeParser = (): ((bytes: Uint8Array) => ReadonlyArray<TerminalSize>) => {
  const decoder = new TextDecoder()
  let pending = ""
  let broken = false
  return (bytes) => {
    if (broken) return []
    // No member of such an object is one itself, so every closing brace ends one.
    const objects = (pending + decoder.decode(bytes, { stream: true })).split(/(?<=\})/)
    pending = objects.at(-1)?.endsWith("}") === true ? "" : (objects.pop() ?? "")
    broken = pending.length > longestObject
    if (broken) pending = ""
    return objects.flatMap((object) => terminalSize(object) ?? [])
  }
}
