// Bundles src/main.ts into dist/cricket.js: one minified ES module. Native code (koffi) stays a package beside it.
import { mkdirSync, renameSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { rolldown } from "rolldown"

const top = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "")

/**
 * Packages that others import and this program never reaches: undici by the HTTP client that node:https serves better
 * here, proto-loader by the channelz service of gRPC. Half of the bundle without this.
 */
const unreached = new Set(["undici", "@grpc/proto-loader"])

const withoutUnreached = {
  name: "without-unreached",
  resolveId: (id) => (unreached.has(id) ? { id: `\0unreached:${id}`, moduleSideEffects: false } : null),
  load: (id) => (id.startsWith("\0unreached:") ? "export default {}" : null)
}

const bundle = await rolldown({
  input: `${top}/src/main.ts`,
  platform: "node",
  external: ["koffi"],
  plugins: [withoutUnreached],
  logLevel: "warn"
})
// Replaced in one step: a daemon that starts meanwhile finds the old bundle or the new one.
const unfinished = `${top}/dist/.cricket.${process.pid}.js`
mkdirSync(`${top}/dist`, { recursive: true })
await bundle.write({
  file: unfinished,
  format: "esm",
  minify: true,
  sourcemap: false,
  codeSplitting: false
})
await bundle.close()
renameSync(unfinished, `${top}/dist/cricket.js`)
