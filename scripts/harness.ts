/**
 * The property harness on this machine's runtimes: `node scripts/harness.ts crun|runc|containerd run|replay|diff …`. Makes
 * the profile, with images of this machine's busybox, and calls `cricket harness` with it.
 */
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { type HarnessTarget, harnessTargets, prepareHarness } from "./lib/harnessPlace.ts"

const top = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "")
const [target, command = "run", ...rest] = process.argv.slice(2)

if (!(harnessTargets as ReadonlyArray<string | undefined>).includes(target)) {
  process.stderr.write(`usage: node scripts/harness.ts ${harnessTargets.join("|")} run|replay|diff [flags]\n`)
  process.exit(2)
}
const profile = await prepareHarness(`${top}/.cache/harness`, target as HarnessTarget)
const { status } = spawnSync(`${top}/bin/cricket`, ["harness", command, "--profile", profile, ...rest], {
  stdio: "inherit"
})
process.exitCode = status ?? 2
