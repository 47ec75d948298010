/**
 * The harness on real daemons: scenarios of fixed seeds and those that once found something, on Cricket and on containerd,
 * with the daemon killed in between, in namespaces of their own.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { type HarnessTarget, prepareHarness, readProfile } from "../../../scripts/lib/harnessPlace.ts"
import type { Report } from "../../../src/harness/Report.ts"

const top = fileURLToPath(new URL("../../..", import.meta.url)).replace(/\/$/, "")
const seeds = `${top}/test/harness/seeds`
const directory = mkdtempSync(`${tmpdir()}/cricket-harness-suite-`)
let profiles: Readonly<Record<HarnessTarget, string>>

beforeAll(async () => {
  const prepare = (target: HarnessTarget) => prepareHarness(directory, target, 25_503)
  profiles = {
    crun: await prepare("crun"),
    runc: await prepare("runc"),
    containerd: await prepare("containerd"),
    crio: await prepare("crio")
  }
}, 120_000)

afterAll(() => rmSync(directory, { recursive: true, force: true }))

/** As somebody would call it. */
const harness = async (...args: ReadonlyArray<string>) => {
  const child = spawn(`${top}/bin/cricket`, ["harness", ...args], { stdio: ["ignore", "pipe", "pipe"] })
  let told = ""
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes: Buffer) => (told += bytes.toString()))
  const [status] = (await once(child, "close")) as [number]
  return { status, told }
}

const run = async (profile: string, ...flags: ReadonlyArray<string>) => {
  const out = `${directory}/out-${readdirSync(directory).length}`
  const { status, told } = await harness("run", "--profile", profile, "--out", out, "--attempts", "0", ...flags)
  const text = existsSync(`${out}/report.json`) ? readFileSync(`${out}/report.json`, "utf8") : "{}"
  return { status, out, told, report: JSON.parse(text) as Report }
}

const changed = (profile: string, name: string, change: (profile: Record<string, unknown>) => void): string => {
  const json = readProfile(profile)
  change(json)
  const path = `${directory}/${name}.json`
  writeFileSync(path, JSON.stringify(json))
  return path
}

describe("the harness on a real daemon", () => {
  for (const runtime of ["crun", "runc"] as const) {
    it(`with ${runtime}: what was found once, and scenarios of fixed seeds, without a violation`, async () => {
      const { status, told, report, out } = await run(
        profiles[runtime],
        "--first",
        seeds,
        "--seed",
        "11",
        "--runs",
        "3"
      )
      expect(told).toContain("0 violated")
      expect(status).toBe(0)
      expect(report.failures).toEqual([])
      expect(report.runs).toBe(3 + readdirSync(seeds).length)
      expect(report.kills).toBeGreaterThan(5)
      expect(report.rules["host.files"]?.held).toBe(report.runs)
      expect(readdirSync(out).toSorted()).toEqual(["junit.xml", "matrix.md", "report.json"])
    }, 300_000)
  }

  it("names what containerd is known for", async () => {
    const { told, report } = await run(profiles.containerd, "--seed", "1", "--runs", "2", "--only", "pods")
    expect(told).toContain("known deviations")
    expect(report.commands).toBeGreaterThan(10)
    const deviating = Object.entries(report.rules).filter(([, { known }]) => known.length > 0)
    expect(deviating.length).toBeGreaterThan(0)
    expect(told).toContain(`deviates  ${deviating[0]?.[0]}`)
  }, 300_000)

  it("finds Cricket in CRI-O's place, at CRI-O's paths, without a violation", async () => {
    const { status, told, report } = await run(profiles.crio, "--seed", "11", "--runs", "2")
    expect(told).toContain("0 violated")
    expect(status).toBe(0)
    expect(report.kills).toBeGreaterThan(0)
    expect(report.rules["host.files"]?.held).toBe(2)
  }, 300_000)

  it("opens streams of Cricket and of containerd, each by the subprotocols that it has", async () => {
    for (const profile of [profiles.crun, profiles.containerd]) {
      const { told, report } = await run(profile, "--seed", "1", "--runs", "3", "--only", "streams")
      expect(told).toContain("0 violated")
      const rules = ["open", "exit-code", "output-complete", "stdin", "token-once"].map((name) => `stream.${name}`)
      expect(Object.keys(report.rules).filter((rule) => (report.rules[rule]?.held ?? 0) > 0)).toEqual(
        expect.arrayContaining(rules)
      )
    }
  }, 300_000)

  it("compares Cricket with containerd, and names the rules in which they differ", async () => {
    const { status, told } = await harness(
      "diff",
      "--profile",
      profiles.crun,
      "--against",
      profiles.containerd,
      "--seed",
      "1",
      "--runs",
      "4",
      "--only",
      "pods"
    )
    expect(told).toMatch(/ {2}cricket-crun {2}\S.*\n {2}containerd {4}\S.*\n {2}rule +(pod|container)\./)
    expect(told).toMatch(/\d+ kinds of differences\n$/)
    expect(status).toBe(1)
  }, 300_000)

  it("says what is left on the host when a target leaves something, and writes it down for replay", async () => {
    // A program that the target has started and forgotten.
    const leaky = changed(profiles.crun, "leaky", (profile) => {
      profile["limits"] = { settle: 3 }
      const start = profile["start"] as ReadonlyArray<string>
      profile["start"] = [
        "sh",
        "-c",
        'if [ -e "$0" ]; then setsid sleep 1234 & fi; : > "$0"; exec "$@"',
        "${dir}/once",
        ...start
      ]
    })
    const { status, report, out } = await run(
      leaky,
      "--first",
      `${seeds}/retry-while-rolled-back.json`,
      "--runs",
      "1",
      "--keep-going",
      "1"
    )
    expect(status).toBe(1)
    const [failure] = report.failures
    expect(failure?.rule).toBe("host.processes")
    expect(failure?.details).toContain("sleep")
    const folder = `${out}/${failure?.directory}`
    expect(readdirSync(folder).toSorted()).toEqual([
      "first.daemon.log",
      "first.log",
      "scenario.json",
      "smallest.daemon.log",
      "smallest.log"
    ])
    const replay = await harness("replay", `${folder}/scenario.json`, "--profile", leaky)
    expect(replay.told).toContain("VIOLATED host.processes")
    expect(replay.status).toBe(1)
  }, 300_000)

  it("says why nothing can be said when a target does not start", async () => {
    const broken = changed(profiles.crun, "broken", (profile) => {
      profile["start"] = ["false"]
    })
    const { status, told } = await run(broken, "--runs", "1")
    expect(status).toBe(2)
    expect(told).toMatch(/cricket-crun: start: false ended; its log is /)
  }, 60_000)
})
