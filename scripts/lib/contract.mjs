// docs/contract.md as tests: every row names the tests that show it, or says why none can.
import { existsSync, readFileSync } from "node:fs"
import { top } from "./setup.mjs"

/** A row's last cell is this with a reason, or names of tests in backticks. */
const without = /^none: \S/

/** "file: full name" as in test/skips.json; one that ends in * stands for all that begin so. */
const testNames = (cell) => Array.from(cell.matchAll(/`([^`]+)`/g), ([, name]) => inFull(name.replaceAll("\\|", "|")))

/** The clients' suites have a short name. */
const suites = {
  "critest: ": "test/conformance/critest/crun.test.ts: critest with crun ",
  "crictl: ": "test/conformance/crictl/crun.test.ts: crictl with crun "
}

const inFull = (name) => {
  const [short, full] = Object.entries(suites).find(([beginning]) => name.startsWith(beginning)) ?? ["", ""]
  return `${full}${name.slice(short.length)}`
}

/** A cell's text may hold an escaped bar. */
const cellsOf = (line) =>
  line
    .slice(1, -1)
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim())

export const readContract = () => {
  const rows = readFileSync(`${top}/docs/contract.md`, "utf8")
    .split("\n")
    .filter((line) => /^\| *\d+\.\d+ *\|/.test(line))
    .map((line) => {
      const cells = cellsOf(line)
      const [id = "", rule = ""] = cells
      const shown = cells.at(-1) ?? ""
      return { id, rule, shown, tests: testNames(shown) }
    })
  return rows
}

const formFailure = ({ rule, shown, tests }) => {
  if (rule === "") return "it has no rule"
  if (without.test(shown)) return undefined
  if (shown.replace(/`[^`]+`/g, "").trim() !== "")
    return "beside names of tests in backticks its last cell holds other text"
  if (tests.length === 0) return 'it names no test; if there can be none, write "none: " and the reason'
  const missing = tests.filter((name) => !existsSync(`${top}/${name.slice(0, name.indexOf(": "))}`))
  return missing.length === 0 ? undefined : `there is no such file of tests: ${missing.join("; ")}`
}

const didRun = (name, ran) =>
  name.endsWith("*") ? ran.some((test) => test.startsWith(name.slice(0, -1))) : ran.includes(name)

/** `ran`: names of the tests that passed; undefined when not all stages were asked for, and only the form is judged. */
export const runContract = (ran) => {
  const rows = readContract()
  const failures = rows.flatMap((row) => {
    const form = formFailure(row)
    const absent =
      form === undefined && ran !== undefined && !without.test(row.shown)
        ? row.tests.filter((name) => !didRun(name, ran))
        : []
    const detail = form ?? (absent.length > 0 ? `these did not run and pass: ${absent.join("; ")}` : undefined)
    return detail === undefined ? [] : [{ name: `docs/contract.md ${row.id}`, detail }]
  })
  const twice = rows.filter(({ id }, index) => rows.findIndex((other) => other.id === id) !== index)
  for (const { id } of twice) failures.push({ name: `docs/contract.md ${id}`, detail: "this number stands twice" })
  return { passed: rows.length - failures.length, failed: failures, skipped: [], names: [] }
}
