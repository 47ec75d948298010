/** `node --import overlay.ts`: files of the source tree are taken from PATCHED_FILES where that directory has them. */
import { existsSync, readFileSync } from "node:fs"
import { registerHooks } from "node:module"

const top = new URL("../../..", import.meta.url).href
const patched = process.env["PATCHED_FILES"] ?? ""

registerHooks({
  load: (url, context, nextLoad) => {
    const loaded = nextLoad(url, context)
    const file = url.startsWith(top) ? `${patched}/${url.slice(top.length)}` : ""
    return existsSync(file) ? { ...loaded, source: readFileSync(file) } : loaded
  }
})
