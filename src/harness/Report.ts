/** What a run of the harness found: JSON to keep, a JUnit file for a CI, a Markdown matrix by rule for people. */
import { Result, Schema } from "effect"
import { InvalidInput } from "./HarnessError.ts"
import type { RuleCount } from "./Judge.ts"
import { allRules } from "./Rules.ts"

const DaemonState = Schema.Struct({ descriptors: Schema.Finite, residentMiB: Schema.Finite })

const Known = Schema.Struct({ reason: Schema.String, count: Schema.Int, example: Schema.String })

export const Report = Schema.Struct({
  version: Schema.Literal(1),
  profile: Schema.String,
  /** What the target says that it is. */
  target: Schema.String,
  seed: Schema.Finite,
  runs: Schema.Int,
  /** Requests and other doings that were made, and how often each. */
  commands: Schema.Int,
  operations: Schema.Record(Schema.String, Schema.Int),
  /** Ends of the daemon, by SIGKILL or SIGTERM. */
  kills: Schema.Int,
  seconds: Schema.Finite,
  /** The daemon's descriptors and memory (MiB): after the first pod, and after the last scenario. */
  daemon: Schema.optionalKey(Schema.Struct({ before: DaemonState, after: DaemonState })),
  /** RPCs that the target does not implement, of those that the harness would use. */
  unimplemented: Schema.Array(Schema.String),
  rules: Schema.Record(
    Schema.String,
    Schema.Struct({ held: Schema.Int, violated: Schema.Int, known: Schema.Array(Known) })
  ),
  failures: Schema.Array(
    Schema.Struct({
      rule: Schema.String,
      details: Schema.String,
      seed: Schema.Finite,
      /** Steps of the smallest scenario that was found. */
      steps: Schema.Int,
      /** Below the report's directory. */
      directory: Schema.String
    })
  )
})
export type Report = typeof Report.Type

const decode = Schema.decodeUnknownResult(Schema.fromJsonString(Report))

export const decodeReport = (source: string, text: string): Result.Result<Report, InvalidInput> =>
  Result.mapError(decode(text), ({ message }) => new InvalidInput({ source, problems: message.split("\n") }))

export const rulesOf = (counts: ReadonlyMap<string, RuleCount>): Report["rules"] => Object.fromEntries(counts)

export type Verdict = "held" | "deviates" | "violated" | "not seen"

const verdictOf = (count: Report["rules"][string] | undefined): Verdict => {
  if (count === undefined) return "not seen"
  if (count.violated > 0) return "violated"
  if (count.known.length > 0) return "deviates"
  return count.held > 0 ? "held" : "not seen"
}

/** Every rule with what was seen of it, in the order of the rules. */
export const verdicts = (report: Report) =>
  allRules().map(([id, title]) => ({ id, title, count: report.rules[id], verdict: verdictOf(report.rules[id]) }))

const cell = (text: string) => text.replaceAll("|", "\\|").replaceAll(/\s+/g, " ")

const daemonText = ({ daemon }: Report): string => {
  if (daemon === undefined) return ""
  const { before, after } = daemon
  const memory = (state: typeof before) => `${Math.round(state.residentMiB)} MiB`
  return `The daemon had ${before.descriptors} descriptors and ${memory(before)} after its first pod, ${after.descriptors} and ${memory(after)} after the last scenario.\n`
}

export const toMarkdown = (report: Report): string => {
  const rows = verdicts(report).map(({ id, title, count, verdict }) => {
    const times = count === undefined ? "" : String(count.held)
    const notes = (count?.known ?? []).map(({ reason, count }) => `${cell(reason)} (${count}×)`).join("; ")
    return `| ${id} | ${cell(title)} | ${verdict} | ${times} | ${notes} |`
  })
  const failures = report.failures.map(
    ({ rule, details, seed, steps, directory }) =>
      `- **${rule}** (seed ${seed}, ${steps} steps, ${directory}): ${details.slice(0, 400)}`
  )
  return `# ${report.target}, profile ${report.profile}

${report.commands} commands in ${report.runs} scenarios, ${report.kills} ends of the daemon, seed ${report.seed}, ${Math.round(report.seconds)} s.
${daemonText(report)}${report.unimplemented.length === 0 ? "" : `\nNot implemented: ${report.unimplemented.join(", ")}.\n`}
${failures.length === 0 ? "No violation." : `Violations:\n\n${failures.join("\n")}`}

| rule | | verdict | held | known deviations |
|---|---|---|---|---|
${rows.join("\n")}
`
}

/** XML has no way to write them. */
const controls = /(?![\t\n\r])\p{Cc}/gu

const escape = (text: string) =>
  text
    .replaceAll(controls, "?")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")

/** A test case for each rule: failed where it is violated, skipped where nothing was seen of it. */
export const toJUnit = (report: Report): string => {
  const all = verdicts(report)
  const cases = all.map(({ id, title, count, verdict }) => {
    const open = `    <testcase classname="${escape(report.profile)}" name="${escape(`${id}: ${title}`)}"`
    if (verdict === "not seen") return `${open}><skipped/></testcase>`
    if (verdict === "deviates") {
      const notes = count?.known.map(({ reason, count, example }) => `${reason} (${count} times): ${example}`) ?? []
      return `${open}><system-out>${escape(notes.join("\n"))}</system-out></testcase>`
    }
    if (verdict === "held") return `${open}/>`
    const found = report.failures.filter(({ rule }) => rule === id)
    const text = found.map(({ details, directory }) => `${details} (${directory})`).join("\n")
    return `${open}><failure message="${escape(found[0]?.details ?? title)}">${escape(text)}</failure></testcase>`
  })
  const number = (verdict: Verdict) => all.filter((one) => one.verdict === verdict).length
  return `<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="cricket harness ${escape(report.profile)}" tests="${all.length}" failures="${number("violated")}" skipped="${number("not seen")}" time="${report.seconds.toFixed(1)}">
${cases.join("\n")}
  </testsuite>
</testsuites>
`
}

/** For the terminal: what was seen, and what is not as it should be. */
export const toSummary = (report: Report): string => {
  const all = verdicts(report)
  const number = (verdict: Verdict) => all.filter((one) => one.verdict === verdict).length
  const deviations = all.flatMap(({ id, count }) =>
    (count?.known ?? []).map(({ reason, count }) => `  deviates  ${id}: ${reason} (${count} times)\n`)
  )
  const failures = report.failures.map(
    ({ rule, details, seed, directory }) => `  VIOLATED  ${rule}: ${details}\n            seed ${seed}, ${directory}\n`
  )
  return `${report.target}: ${report.commands} commands in ${report.runs} scenarios, ${report.kills} ends of the daemon, ${Math.round(report.seconds)} s
${number("held")} rules held, ${number("deviates")} with known deviations, ${number("violated")} violated, ${number("not seen")} not seen
${daemonText(report)}${deviations.join("")}${failures.join("")}`
}
