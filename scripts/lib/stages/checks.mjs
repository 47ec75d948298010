// The check stage: one test per tool that reads the tree.
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { nodePath, top } from "../setup.mjs"

const tools = [
  ["types (tsc)", "tsc", "--noEmit", "--project", "."],
  [
    "Effect's rules (effect-tsgo)",
    "effect-tsgo",
    "diagnostics",
    "--project",
    "tsconfig.json",
    "--severity",
    "error",
    "--format",
    "text"
  ],
  ["lint (oxlint)", "oxlint", "--deny-warnings", "."],
  ["format (oxfmt)", "oxfmt", "--check", "."]
]

const failureOf = (command, args) => {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: top,
    encoding: "utf8",
    maxBuffer: 64 << 20
  })
  return status === 0 ? undefined : `${stdout}${stderr}${error ? error.message : ""}`.trim()
}

const lockFailure = () =>
  readFileSync(`${top}/package-lock.json`, "utf8").includes('"resolved"')
    ? "package-lock.json names download addresses: it was written without this repository's .npmrc"
    : undefined

export const runChecks = () => {
  const node = nodePath()
  const results = [
    ...tools.map(([name, tool, ...args]) => [name, failureOf(node, [`${top}/node_modules/.bin/${tool}`, ...args])]),
    ["floors (check-imports)", failureOf(node, [`${top}/scripts/check-imports.mjs`])],
    ["lock file without addresses", lockFailure()]
  ]
  return {
    passed: results.filter(([, failure]) => failure === undefined).length,
    failed: results.flatMap(([name, detail]) => (detail === undefined ? [] : [{ name, detail }])),
    skipped: []
  }
}
