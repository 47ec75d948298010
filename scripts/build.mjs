// Bundles src/main.ts into dist/cricket.js: one minified ES module. Native code (koffi) stays a package beside it.
// src/harness becomes dist/harness.js, which `cricket harness` loads and other projects import: the daemon has none of it,
// and what it shares with those who import it (effect above all) stays a package.
import { spawnSync } from "node:child_process"
import { mkdirSync, renameSync, rmSync } from "node:fs"
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

/**
 * An ES import of a module of Node's own asks for each of its exports, and some of them load much when asked: node:http's
 * WebSocket loads undici, node:crypto's webcrypto that API. Asked for by name, only what is named is loaded: 20 ms and
 * 3 MiB less at every start.
 */
const builtinsByName = {
  name: "builtins-by-name",
  renderChunk: (code) => {
    const imported = /\bimport\s*(?:\*\s*as\s+([\w$]+)|\{([^}]*)\})\s*from\s*("node:[^"]+")/g
    return code.replace(imported, (_, whole, names, module) => {
      const bound = whole ?? `{${names.replaceAll(/\s+as\s+/g, ":")}}`
      return `const ${bound}=process.getBuiltinModule(${module})`
    })
  }
}

const harnessBesideIt = {
  name: "harness-beside-it",
  resolveId: (id) => (id === "./harness/main.ts" ? { id: "./harness.js", external: true } : null)
}

const write = async (name, options) => {
  const bundle = await rolldown({ platform: "node", logLevel: "warn", ...options })
  // Replaced in one step: a daemon that starts meanwhile finds the old bundle or the new one.
  const unfinished = `${top}/dist/.${name}.${process.pid}.js`
  await bundle.write({ file: unfinished, format: "esm", minify: true, sourcemap: false, codeSplitting: false })
  await bundle.close()
  renameSync(unfinished, `${top}/dist/${name}.js`)
}

mkdirSync(`${top}/dist`, { recursive: true })
await write("harness", {
  input: `${top}/src/harness/index.ts`,
  external: (id) => !id.startsWith(".") && !id.startsWith("/")
})
await write("cricket", {
  input: `${top}/src/main.ts`,
  external: ["koffi"],
  plugins: [withoutUnreached, builtinsByName, harnessBesideIt]
})
// Compiled once here, so that not even the first start compiles. Caches of earlier bundles are of no use.
rmSync(`${top}/dist/.compile-cache`, { recursive: true, force: true })
// By bin/cricket: the cache is for the same Node with the same flags.
const { status } = spawnSync(`${top}/bin/cricket`, ["version"], {
  stdio: ["ignore", "ignore", 2],
  env: { ...process.env, NODE_COMPILE_CACHE: `${top}/dist/.compile-cache` }
})
if (status !== 0) throw new Error("the bundle does not run (bin/cricket version)")
