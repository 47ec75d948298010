// Makes src/gen from proto/. `node scripts/gen.mjs [DIR]` writes to DIR/src/gen in place of the repository's own.
import { spawnSync } from "node:child_process"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const repository = dirname(dirname(fileURLToPath(import.meta.url)))
const bin = join(repository, "node_modules", ".bin")
const { status, error } = spawnSync(join(bin, "buf"), ["generate", "--output", process.argv[2] ?? repository], {
  cwd: repository,
  stdio: "inherit",
  env: { ...process.env, PATH: `${bin}:${dirname(process.execPath)}:${process.env.PATH ?? ""}` }
})
if (error !== undefined) throw error
process.exitCode = status ?? 1
