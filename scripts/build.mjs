// Bundles src/main.ts into dist/cricket.js: one minified ES module. Native code (koffi) stays a package beside it.
import { rmSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { rolldown } from "rolldown"

const top = fileURLToPath(new URL("..", import.meta.url))
rmSync(`${top}/dist`, { recursive: true, force: true })
const bundle = await rolldown({
  input: `${top}/src/main.ts`,
  platform: "node",
  external: ["koffi"],
  treeshake: true,
  logLevel: "warn"
})
await bundle.write({
  file: `${top}/dist/cricket.js`,
  format: "esm",
  minify: true,
  sourcemap: false,
  codeSplitting: false
})
await bundle.close()
