/**
 * critest, the whole suite: what expected.json lists fails or is skipped for the reason given there, and everything else
 * passes. A spec that starts to pass has to leave the list.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import expected from "./expected.json" with { type: "json" }
import { runSuite, type SpecResult, type SuiteReport } from "./suite.ts"

const runtime = process.env["CRICKET_TEST_RUNTIME"] === "runc" ? "runc" : "crun"

const hasAppArmor = (): boolean => {
  try {
    return readFileSync("/sys/module/apparmor/parameters/enabled", "utf8").startsWith("Y")
  } catch {
    return false
  }
}

/** What the machine must lack for an exception to hold. */
const present: Readonly<Record<string, boolean>> = { AppArmor: hasAppArmor() }

const exceptions = new Map(
  expected.exceptions
    .filter(({ onlyWithout }) => onlyWithout === undefined || present[onlyWithout] === false)
    .map((exception) => [exception.spec, exception.outcome])
)

let directory: string
let report: SuiteReport
let asExpected = false

const surprise = ({ name, outcome, message }: SpecResult): ReadonlyArray<string> => {
  const wanted = exceptions.get(name) ?? "passed"
  return outcome === wanted ? [] : [`${name}\n  ${outcome}, not ${wanted}${message === "" ? "" : `: ${message}`}`]
}

const count = (outcome: SpecResult["outcome"]) => report.specs.filter((spec) => spec.outcome === outcome).length

beforeAll(async () => {
  directory = mkdtempSync(`${tmpdir()}/cricket-critest-`)
  report = await runSuite({ directory, runtime })
}, 25 * 60_000)

afterAll(() => {
  // Reports and logs of a run with surprises stay for the one who looks into it.
  if (asExpected) rmSync(directory, { recursive: true, force: true })
})

describe(`critest with ${runtime}`, () => {
  it("has the specs that the list was made for", () => {
    const names = report.specs.map(({ name }) => name)
    expect(new Set(names).size).toBe(expected.specs)
    expect([...exceptions.keys()].filter((name) => !names.includes(name))).toEqual([])
  })

  it("passes all specs but those listed with a reason", () => {
    const counts = `${count("passed")} passed, ${count("failed")} failed, ${count("skipped")} skipped`
    process.stdout.write(`\ncritest with ${runtime}: ${counts} of ${report.specs.length} specs\n`)
    const surprises = report.specs.flatMap(surprise)
    asExpected = surprises.length === 0
    expect(surprises, `order: --ginkgo.seed=${report.seed}; logs: ${directory}`).toEqual([])
  })

  it("leaves no pod", () => expect(report.leftPods).toBe(0))
})
