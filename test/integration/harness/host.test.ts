/** What a daemon leaves on its host is found, whatever it is: one that leaves something of every kind, in its own namespaces. */
import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { fileURLToPath } from "node:url"
import { afterAll, expect, it } from "vitest"
import { prepareHarness, readProfile } from "../../../scripts/lib/harnessPlace.ts"
import { hostKinds } from "../../../src/harness/Profile.ts"
import type { Report } from "../../../src/harness/Report.ts"

const top = fileURLToPath(new URL("../../..", import.meta.url)).replace(/\/$/, "")
const directory = mkdtempSync(`${tmpdir()}/cricket-harness-host-`)
afterAll(() => rmSync(directory, { recursive: true, force: true }))

/** In front of the daemon: nothing at its first start; at the next ones one thing of each kind, if it is not there yet. */
const leaky = `
first=$1; shift
if [ -e "$first" ] && [ ! -e "$first.left" ]; then
  : > "$first.left"
  mkdir -p "\${dir}/root/left-mount"
  mount -t tmpfs left "\${dir}/root/left-mount"
  : > /run/netns/left-namespace
  mount --bind /proc/self/ns/net /run/netns/left-namespace
  ip link add left0 type veth peer name left1
  iptables -w -N LEFT
  echo left > "\${dir}/leases/left-lease"
  for parent in /sys/fs/cgroup/*/cricket-harness-left-* /sys/fs/cgroup/cricket-harness-left-*; do
    [ ! -d "$parent" ] || mkdir -p "$parent/pod-left/left-container"
  done
  setsid busybox nc -l -p 28999 >/dev/null 2>&1 </dev/null &
  export NODE_OPTIONS="--require=\${dir}/grow.cjs"
fi
: > "$first"
exec "$@"
`

/** The daemon itself: 300 MiB and 60 descriptors more. */
const grows = `globalThis.left = Buffer.alloc(300 << 20, 1)
for (let count = 0; count < 60; count++) require("node:fs").openSync("/dev/null")
`

/** What the text of the difference says. */
const expected: Readonly<Record<(typeof hostKinds)[number], RegExp>> = {
  mounts: /left: \S+\/root\/left-mount tmpfs left/,
  namespaces: /left: \/run\/netns\/left-namespace/,
  links: /left: left[01]/,
  firewall: /left: iptables-save filter :LEFT/,
  ports: /left: tcp6? \S+ 28999/,
  cgroups: /left: \S+\/pod-left\/left-container/,
  processes: /left: (nc|busybox) \(\d+\)/,
  files: /left: \S+\/(left-lease|left-mount)/,
  descriptors: /\d\d more than before/,
  memory: /\d{3} MiB more than before/
}

it("mounts, namespaces, links, rules, ports, cgroups, processes, files and leases, descriptors, memory", async () => {
  const profile = readProfile(await prepareHarness(directory, "crun", 25_504))
  profile["name"] = "left"
  profile["cgroupParent"] = "/cricket-harness-left"
  profile["files"] = {
    ...(profile["files"] as object),
    "${dir}/grow.cjs": grows
  }
  profile["start"] = ["sh", "-c", leaky, "sh", "${dir}/started", ...(profile["start"] as ReadonlyArray<string>)]
  profile["limits"] = { settle: 3 }
  // All of them are wanted, and a violation ends the scenario.
  profile["known"] = hostKinds.map((kind) => ({ rule: `host.${kind}`, after: "kill", reason: "left on purpose" }))
  writeFileSync(`${directory}/left.json`, JSON.stringify(profile))
  // A container's cgroup makes known where others would be.
  const made = ["RunPod", "Create", "Start"].map((operation) => ({ calls: [{ operation, parameters: {} }] }))
  const killed = { calls: [], interruption: { kind: "kill", afterMs: 0 } }
  const scenario = { version: 1, profile: "left", seed: 1, steps: [...made, killed] }
  writeFileSync(`${directory}/killed.json`, JSON.stringify(scenario))
  const flags = ["--first", `${directory}/killed.json`, "--runs", "1", "--only", "pods", "--length", "1"]
  const { status, stderr } = spawnSync(
    `${top}/bin/cricket`,
    ["harness", "run", "--profile", `${directory}/left.json`, "--out", `${directory}/out`, ...flags],
    { encoding: "utf8" }
  )
  expect(stderr).not.toContain("VIOLATED")
  expect(status).toBe(0)
  const { rules } = JSON.parse(readFileSync(`${directory}/out/report.json`, "utf8")) as Report
  for (const kind of hostKinds) {
    expect(`${kind} ${rules[`host.${kind}`]?.known[0]?.example}`).toMatch(expected[kind])
  }
}, 120_000)
