/**
 * critest as tests of ours, one per spec and with its name. specs.json lists what the pinned critest has and what
 * tools/specs adds to it: a spec that leaves either list or joins it fails.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import lists from "./specs.json" with { type: "json" }
import { runSuite, type SpecResult, type SuiteReport } from "./suite.ts"

declare module "vitest" {
  interface TaskMeta {
    /** A line about the whole suite, which scripts/test.mjs shows at its end. */
    summary?: string
  }
}

/** Versions of critest that have the specs, by where they come from here. */
const versions = { module: "v1.36.0", tools: "v1.37" } as const
const sources = ["module", "tools"] as const

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
  /** Of critest's, those that `focus` selects. */
  readonly isWanted?: (name: string) => boolean
  readonly focus?: ReadonlyArray<string>
  readonly parameters?: ReadonlyArray<string>
}

const testsOf = ({ title, runtime, isWanted = () => true, focus = [], parameters = [] }: Run): void => {
  let directory: string
  let report: SuiteReport
  let results: ReadonlyMap<string, SpecResult>
  const skips = impossible(runtime)
  const isImpossible = (name: string) => skips.some((beginning) => name.startsWith(beginning))
  const specsOf = (source: SpecResult["source"]) => lists[versions[source]].filter(isWanted)
  const specs = sources.flatMap(specsOf)

  const summary = (): string => {
    // What is out of focus is listed as skipped.
    const wanted = report.specs.filter(({ name }) => isWanted(name))
    const count = (outcome: SpecResult["outcome"]) => wanted.filter((spec) => spec.outcome === outcome).length
    const counts = `${count("passed")} passed, ${count("failed")} failed, ${count("skipped")} skipped`
    const numbers = sources
      .map((source) => ({ source, number: wanted.filter((spec) => spec.source === source).length }))
      .filter(({ number }) => number > 0)
      .map(({ source, number }, index) => `${number} ${index === 0 ? "specs " : ""}of ${versions[source]}`)
    return `${title}: ${counts} (${numbers.join(", ")})`
  }

  describe(title, () => {
    beforeAll(async () => {
      directory = mkdtempSync(`${tmpdir()}/cricket-critest-`)
      report = await runSuite({ directory, runtime, focus, parameters })
      results = new Map(report.specs.map((spec) => [spec.name, spec]))
    }, 25 * 60_000)

    afterAll(() => {
      process.stdout.write(`\n${summary()}\n`)
      // Reports and logs of a run with surprises stay for the one who looks into it.
      const asExpected = specs.every(
        (name) => results.get(name)?.outcome === (isImpossible(name) ? "skipped" : "passed")
      )
      if (asExpected) rmSync(directory, { recursive: true, force: true })
    })

    it("has the specs that the lists were made for", ({ task }) => {
      task.meta.summary = summary()
      for (const source of sources) {
        const there = report.specs.filter((spec) => spec.source === source && isWanted(spec.name))
        expect(there.map(({ name }) => name).toSorted(), `of ${versions[source]}`).toEqual(specsOf(source).toSorted())
      }
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

export const critestSpecs = (runtime: "crun" | "runc"): void => testsOf({ title: `critest with ${runtime}`, runtime })

const streaming = "Streaming runtime "

/** The specs of streams once more, with the clients' other protocol. */
export const webSocketSpecs = (runtime: "crun" | "runc"): void =>
  testsOf({
    title: `critest over WebSocket with ${runtime}`,
    runtime,
    isWanted: (name) => name.startsWith(streaming),
    focus: [streaming],
    parameters: ["--websocket-exec", "--websocket-attach", "--websocket-portforward"]
  })
