/**
 * The property harness on this machine's runtimes: `node scripts/harness.ts crun run`, `… runc replay FILE`,
 * `… crun diff --against containerd`. Makes the profiles, with images of this machine's busybox, and calls
 * `cricket harness` with them.
 */
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { type HarnessTarget, harnessTargets, prepareHarness } from "./lib/harnessPlace.ts"

const top = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "")
const [target, command = "run", ...rest] = process.argv.slice(2)

const isTarget = (name: string | undefined): name is HarnessTarget =>
  (harnessTargets as ReadonlyArray<string | undefined>).includes(name)

const profileOf = (name: HarnessTarget) => prepareHarness(`${top}/.cache/harness`, name)

if (!isTarget(target)) {
  const names = harnessTargets.join("|")
  process.stderr.write(
    `usage: node scripts/harness.ts ${names} run|replay [flags]\n       node scripts/harness.ts ${names} diff --against ${names}|FILE [flags]\n`
  )
  process.exit(2)
}
const profile = await profileOf(target)
const against = rest.indexOf("--against") + 1
const other = rest[against]
if (against > 0 && isTarget(other)) rest[against] = await profileOf(other)
const { status } = spawnSync(`${top}/bin/cricket`, ["harness", command, "--profile", profile, ...rest], {
  stdio: "inherit"
})
process.exitCode = status ?? 2
