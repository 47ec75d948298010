/** The folder of a run: its report, and for each violation one folder with all that is known of it. */
import { DateTime, Effect } from "effect"
import { Files } from "../linux/Files.ts"
import { isGone, type LinuxError } from "../linux/LinuxError.ts"
import type { Entry } from "./execute.ts"
import type { Result } from "./Runner.ts"
import { type Report, toJUnit, toMarkdown } from "./Report.ts"
import type { ScenarioFile } from "./Scenario.ts"

export const writeText: (path: string, text: string) => Effect.Effect<void, LinuxError, Files> = Effect.fnUntraced(
  function* (path, text) {
    const file = yield* (yield* Files).open(path, "truncate", 0o644)
    yield* file.write(new TextEncoder().encode(text))
  },
  Effect.scoped
)

const outcomeText = ({ outcome }: Entry): string => {
  switch (outcome._tag) {
    case "Answered":
      return "ok"
    case "Failed":
      return `${outcome.code}: ${outcome.details}`
    case "Unknown":
      return "no answer"
  }
}

/** One line per request: when, which step, what, how long, with what outcome. */
export const logText = (log: ReadonlyArray<Entry>): string =>
  log
    .map(
      (entry) =>
        `${DateTime.formatIso(DateTime.makeUnsafe(entry.atMs))} step ${entry.step} ${entry.label}: ${outcomeText(entry)} (${entry.outcome.tookMs} ms)\n`
    )
    .join("")

const daemonLogBytes = 512 << 10

/** The end of the daemon's log. */
const tailOf = Effect.fnUntraced(function* (path: string) {
  const text = yield* (yield* Files).readText(path).pipe(Effect.catchIf(isGone, () => Effect.succeed("")))
  return text.slice(-daemonLogBytes)
})

export interface Failure {
  readonly scenario: ScenarioFile
  /** As the seed gave it. */
  readonly first: Result
  readonly smallest: Result
}

export const writeFailure = Effect.fn("writeFailure")(function* (directory: string, failure: Failure) {
  yield* (yield* Files).makeDirectory(directory, { recursive: true })
  yield* writeText(`${directory}/scenario.json`, `${JSON.stringify(failure.scenario, null, 2)}\n`)
  for (const [name, result] of [["first", failure.first] as const, ["smallest", failure.smallest] as const]) {
    yield* writeText(`${directory}/${name}.log`, `${logText(result.log)}${result.violation?.message ?? ""}\n`)
    if (result.daemonLog !== "") yield* writeText(`${directory}/${name}.daemon.log`, yield* tailOf(result.daemonLog))
  }
})

export const writeReport = Effect.fn("writeReport")(function* (directory: string, report: Report) {
  yield* (yield* Files).makeDirectory(directory, { recursive: true })
  yield* writeText(`${directory}/report.json`, `${JSON.stringify(report, null, 2)}\n`)
  yield* writeText(`${directory}/junit.xml`, toJUnit(report))
  yield* writeText(`${directory}/matrix.md`, toMarkdown(report))
})
