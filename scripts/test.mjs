// npm test: installs what is missing, runs every test that this machine can run and closes with
// `N passed, N failed, N skipped`. Starts on Node 18; the tests themselves run on the pinned Node.
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { runContract } from "./lib/contract.mjs"
import { prepareGoTools } from "./lib/goTools.mjs"
import { hostState, settledDifferences } from "./lib/hostState.mjs"
import { ensure, nodePath, top } from "./lib/setup.mjs"
import { runChecks } from "./lib/stages/checks.mjs"
import { runFlake } from "./lib/stages/flake.mjs"
import { runVitest } from "./lib/stages/vitest.mjs"

/** Tests that run the daemon run the bundle. */
const build = () => {
  const { status } = spawnSync(nodePath(), [`${top}/scripts/build.mjs`], { cwd: top, stdio: ["ignore", 2, 2] })
  if (status !== 0) throw new Error("the bundle does not build (npm run build)")
}

/** A suite that works on the host counts the host as one more test. */
const withHostCheck = (name, run) => async () => {
  const before = hostState({ contained: true })
  const result = run()
  const left = await settledDifferences(before, { contained: true })
  return left.length === 0
    ? { ...result, passed: result.passed + 1 }
    : { ...result, failed: [...result.failed, { name: `${name}: the host is as before`, detail: left.join("\n") }] }
}

const integration = () => {
  build()
  prepareGoTools()
  return runVitest({ config: "vitest.integration.config.ts", limit: 30 })
}

const conformance = () => {
  build()
  prepareGoTools()
  return runVitest({ config: "vitest.conformance.config.ts", limit: 60 })
}

const stages = {
  check: runChecks,
  unit: () => runVitest({ config: "vitest.config.ts", limit: 15, onHost: true }),
  simulation: () => runVitest({ config: "test/simulation/vitest.config.ts", limit: 45, onHost: true }),
  integration: withHostCheck("integration", integration),
  conformance: withHostCheck("conformance", conformance),
  flake: runFlake,
  contract: (ran) => runContract(ran)
}
const fast = ["check", "unit", "flake", "contract"]

const usage = `npm test                           every stage: ${Object.keys(stages).join(", ")}
npm test -- --only unit,integration  these stages
npm test -- --fast                   ${fast.join(", ")}
`

const chosenStages = (args) => {
  if (args.length === 0) return Object.keys(stages)
  if (args.length === 1 && args[0] === "--fast") return fast
  const names = args.length === 2 && args[0] === "--only" ? args[1].split(",") : []
  return names.length > 0 && names.every((name) => name in stages) ? names : undefined
}

/** Full names of tests, or beginnings of them, with the reason in the kernel or runtime for which they cannot run. */
const listedSkips = Object.keys(JSON.parse(readFileSync(`${top}/test/skips.json`, "utf8")))

/** A stage is never green because it ran nothing, and a test is never left out in silence. */
const judged = (name, { passed, failed, skipped }) => {
  const unlisted = skipped.filter((test) => !listedSkips.some((listed) => test.name.startsWith(listed)))
  const failures = [
    ...failed,
    ...unlisted.map((test) => ({ name: test.name, detail: "skipped, but not listed in test/skips.json with a reason" }))
  ]
  if (passed + failures.length === 0) failures.push({ name, detail: "the stage ran no test" })
  return { passed, failed: failures, skipped: skipped.length - unlisted.length }
}

/** `ran`: the tests that have passed before, when all stages run. */
const runStage = async (name, ran) => {
  process.stdout.write(`\n== ${name}\n`)
  const started = Date.now()
  let result
  try {
    result = await stages[name](ran)
  } catch (error) {
    result = { passed: 0, failed: [{ name, detail: error.message }], skipped: [] }
  }
  const { passed, failed, skipped } = judged(name, result)
  const seconds = ((Date.now() - started) / 1000).toFixed(1)
  return { name, passed, failed, skipped, seconds, names: result.names ?? [], summaries: result.summaries ?? [] }
}

const main = async (args) => {
  const chosen = chosenStages(args)
  if (chosen === undefined) {
    process.stderr.write(usage)
    return 2
  }
  try {
    ensure("test")
  } catch (error) {
    process.stderr.write(`${error.message}\n`)
    process.stdout.write("0 passed, 1 failed, 0 skipped\n")
    return 1
  }
  const results = []
  const complete = chosen.length === Object.keys(stages).length
  for (const name of chosen) {
    const ran = complete ? results.flatMap(({ names }) => names) : undefined
    results.push(await runStage(name, ran))
  }

  const failures = results.flatMap(({ failed }) => failed)
  for (const { name, detail } of failures) process.stdout.write(`\nFAILED ${name}\n${detail}\n`)
  process.stdout.write("\n")
  for (const summary of results.flatMap(({ summaries }) => summaries)) process.stdout.write(`${summary}\n`)
  for (const { name, passed, failed, skipped, seconds } of results) {
    const counts = `${passed} passed, ${failed.length} failed, ${skipped} skipped`
    process.stdout.write(`${name.padEnd(12)} ${seconds.padStart(7)} s  ${counts}\n`)
  }
  const sum = (count) => results.reduce((total, result) => total + count(result), 0)
  process.stdout.write(
    `${sum(({ passed }) => passed)} passed, ${failures.length} failed, ${sum(({ skipped }) => skipped)} skipped\n`
  )
  return failures.length === 0 ? 0 : 1
}

process.exitCode = await main(process.argv.slice(2))
