// docs/contract.md and README's features by runtime as tests: every row names the tests that show it, or says why none can.
import { existsSync, readFileSync } from "node:fs"
import { top } from "./setup.mjs"

/** A row's last cell is this with a reason, or names of tests in backticks. */
const without = /^none: \S/

/** The clients' suites have a short name, for either runtime. */
const inFull = (name, runtime) => {
  const client = ["critest", "crictl"].find((word) => name.startsWith(`${word}: `))
  if (client === undefined) return name
  return `test/conformance/${client}/${runtime}.test.ts: ${client} with ${runtime} ${name.slice(client.length + 2)}`
}

/** "file: full name" as in test/skips.json; one that ends in * stands for all that begin so. */
const testNames = (cell, runtimes) =>
  Array.from(cell.matchAll(/`([^`]+)`/g), ([, name]) => name.replaceAll("\\|", "|")).flatMap((name) =>
    runtimes.map((runtime) => inFull(name, runtime))
  )

/** A cell's text may hold an escaped bar. */
const cellsOf = (line) =>
  line
    .slice(1, -1)
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim())

const rowsOf = (file, number) =>
  readFileSync(`${top}/${file}`, "utf8")
    .split("\n")
    .filter((line) => number.test(line))
    .map((line) => ({ file, cells: cellsOf(line) }))

const contractRows = () =>
  rowsOf("docs/contract.md", /^\| *\d+\.\d+ *\|/).map(({ file, cells: [id = "", rule = "", shown = ""] }) => ({
    id: `${file} ${id}`,
    rule,
    shown,
    tests: testNames(shown, ["crun"])
  }))

/** A feature is shown with each runtime that has it. */
const featureRows = () =>
  rowsOf("README.md", /^\| *F\d+ *\|/).map(({ file, cells: [id = "", rule = "", crun, runc, shown = ""] }) => ({
    id: `${file} ${id}`,
    rule,
    shown,
    tests: testNames(shown, [crun === "yes" ? ["crun"] : [], runc === "yes" ? ["runc"] : []].flat())
  }))

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
  const rows = [...contractRows(), ...featureRows()]
  const failures = rows.flatMap((row) => {
    const form = formFailure(row)
    const absent =
      form === undefined && ran !== undefined && !without.test(row.shown)
        ? row.tests.filter((name) => !didRun(name, ran))
        : []
    const detail = form ?? (absent.length > 0 ? `these did not run and pass: ${absent.join("; ")}` : undefined)
    return detail === undefined ? [] : [{ name: row.id, detail }]
  })
  const twice = rows.filter(({ id }, index) => rows.findIndex((other) => other.id === id) !== index)
  for (const { id } of twice) failures.push({ name: id, detail: "this number stands twice" })
  return { passed: rows.length - failures.length, failed: failures, skipped: [], names: [] }
}
