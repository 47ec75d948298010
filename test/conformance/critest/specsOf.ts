/**
 * critest as tests of ours, one per spec and with its name. specs.json is the list that the pinned critest has: a spec
 * that leaves it or joins it fails.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import allSpecs from "./specs.json" with { type: "json" }
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

interface Run {
  readonly title: string
  readonly runtime: "crun" | "runc"
  /** All of critest's, or those that `focus` selects. */
  readonly specs: ReadonlyArray<string>
  readonly focus?: ReadonlyArray<string>
  readonly parameters?: ReadonlyArray<string>
}

const testsOf = ({ title, runtime, specs, focus = [], parameters = [] }: Run): void => {
  let directory: string
  let report: SuiteReport
  let results: ReadonlyMap<string, SpecResult>
  const skips = impossible(runtime)
  const isImpossible = (name: string) => skips.some((beginning) => name.startsWith(beginning))

  describe(title, () => {
    beforeAll(async () => {
      directory = mkdtempSync(`${tmpdir()}/cricket-critest-`)
      report = await runSuite({ directory, runtime, focus, parameters })
      results = new Map(report.specs.map((spec) => [spec.name, spec]))
    }, 25 * 60_000)

    afterAll(() => {
      const count = (outcome: SpecResult["outcome"]) => report.specs.filter((spec) => spec.outcome === outcome).length
      const counts = `${count("passed")} passed, ${count("failed")} failed, ${count("skipped")} skipped`
      process.stdout.write(`\n${title}: ${counts} of ${report.specs.length} specs\n`)
      // Reports and logs of a run with surprises stay for the one who looks into it.
      const asExpected = specs.every(
        (name) => results.get(name)?.outcome === (isImpossible(name) ? "skipped" : "passed")
      )
      if (asExpected) rmSync(directory, { recursive: true, force: true })
    })

    it("has the specs that the list was made for", () => {
      // What is out of focus is listed as skipped.
      const listed = [...results.keys()].filter((name) => focus.length === 0 || specs.includes(name))
      expect(listed.toSorted()).toEqual(specs.toSorted())
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

export const critestSpecs = (runtime: "crun" | "runc"): void =>
  testsOf({ title: `critest with ${runtime}`, runtime, specs: allSpecs })

const streaming = "Streaming runtime "

/** The specs of streams once more, with the clients' other protocol. */
export const webSocketSpecs = (runtime: "crun" | "runc"): void =>
  testsOf({
    title: `critest over WebSocket with ${runtime}`,
    runtime,
    specs: allSpecs.filter((name) => name.startsWith(streaming)),
    focus: [streaming],
    parameters: ["--websocket-exec", "--websocket-attach", "--websocket-portforward"]
  })
