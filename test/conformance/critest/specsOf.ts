/**
 * critest as tests of ours, one per spec and with its name. specs.json is the list that the pinned critest has: a spec
 * that leaves it or joins it fails.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import specs from "./specs.json" with { type: "json" }
import { runSuite, type SpecResult, type SuiteReport } from "./suite.ts"

const hasAppArmor = (): boolean => {
  try {
    return readFileSync("/sys/module/apparmor/parameters/enabled", "utf8").startsWith("Y")
  } catch {
    return false
  }
}

/** Specs by the beginnings of their names that cannot run where kernel or runtime lack something: test/skips.json. */
const impossible = (runtime: string): ReadonlyArray<string> => [
  ...(hasAppArmor() ? [] : ["AppArmor "]),
  // Debian's runc 1.1.5 has no idmapped mounts.
  ...(runtime === "runc" ? ["Security Context UserNamespaces "] : [])
]

export const critestSpecs = (runtime: "crun" | "runc"): void => {
  let directory: string
  let report: SuiteReport
  let results: ReadonlyMap<string, SpecResult>
  const skips = impossible(runtime)
  const isImpossible = (name: string) => skips.some((beginning) => name.startsWith(beginning))

  describe(`critest with ${runtime}`, () => {
    beforeAll(async () => {
      directory = mkdtempSync(`${tmpdir()}/cricket-critest-`)
      report = await runSuite({ directory, runtime })
      results = new Map(report.specs.map((spec) => [spec.name, spec]))
    }, 25 * 60_000)

    afterAll(() => {
      const count = (outcome: SpecResult["outcome"]) => report.specs.filter((spec) => spec.outcome === outcome).length
      const counts = `${count("passed")} passed, ${count("failed")} failed, ${count("skipped")} skipped`
      process.stdout.write(`\ncritest with ${runtime}: ${counts} of ${report.specs.length} specs\n`)
      // Reports and logs of a run with surprises stay for the one who looks into it.
      const asExpected = report.specs.every(
        ({ name, outcome }) => outcome === (isImpossible(name) ? "skipped" : "passed")
      )
      if (asExpected) rmSync(directory, { recursive: true, force: true })
    })

    it("has the specs that the list was made for", () => {
      expect([...results.keys()].toSorted()).toEqual(specs.toSorted())
    })

    for (const name of specs) {
      it.skipIf(isImpossible(name))(name, () => {
        const { outcome, message } = results.get(name) ?? { outcome: "absent", message: "" }
        expect(outcome, `${message}\norder: --ginkgo.seed=${report.seed}; logs: ${directory}`).toBe("passed")
      })
    }

    it("leaves no pod", () => expect(report.leftPods).toBe(0))
  })
}
