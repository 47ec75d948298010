// Writes the table of RPCs into README.md.
import { readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { readmeWithMatrix } from "./lib/rpcMatrix.mjs"

const readme = fileURLToPath(new URL("../README.md", import.meta.url))
writeFileSync(readme, readmeWithMatrix(readFileSync(readme, "utf8")))
