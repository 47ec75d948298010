/**
 * Mutations: patches to src/ that each break one promise. A patch begins with what it breaks, the rule that must notice
 * and where to look for it; git passes over those lines.
 */
import { execFile } from "node:child_process"
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import { promisify } from "node:util"
import type { FaultKind } from "../../world/exhaust.ts"
import type { When } from "../../world/Calls.ts"

/** A part of the pod's walk with faults, or random seeds. */
export type Search =
  | {
      readonly kinds: ReadonlyArray<FaultKind>
      readonly steps?: ReadonlyArray<string>
      readonly when?: ReadonlyArray<When>
      readonly after?: "cleanup" | "retry"
    }
  | { readonly first: number; readonly count: number }

export interface Mutation {
  readonly name: string
  readonly breaks: string
  /** The beginning of the finding that must come first. */
  readonly rule: string
  readonly search: Search
}

const directory = new URL(".", import.meta.url).pathname
const top = new URL("../../..", import.meta.url).pathname

const header = (text: string, name: string, key: string): string => {
  const value = new RegExp(`^${key}: (.+)$`, "m").exec(text)?.[1]
  if (value === undefined) throw new Error(`${name} does not say "${key}: …"`)
  return value
}

export const mutations: ReadonlyArray<Mutation> = readdirSync(directory)
  .filter((name) => name.endsWith(".patch"))
  .toSorted()
  .map((file) => {
    const text = readFileSync(`${directory}${file}`, "utf8")
    return {
      name: file.replace(/\.patch$/, ""),
      breaks: header(text, file, "Breaks"),
      rule: header(text, file, "Rule"),
      search: JSON.parse(header(text, file, "Search")) as Search
    }
  })

const run = promisify(execFile)

/** What the simulation finds in a copy of the tree to which the patch was applied; "" for nothing. */
export const findingsOf = async ({ name, search }: Mutation): Promise<string> => {
  const copy = mkdtempSync(`${tmpdir()}/cricket-mutation-`)
  try {
    for (const part of ["src", "test/world", "test/simulation", "package.json"]) {
      cpSync(`${top}${part}`, `${copy}/${part}`, { recursive: true })
    }
    symlinkSync(`${top}node_modules`, `${copy}/node_modules`)
    await run("git", ["apply", `${directory}${name}.patch`], { cwd: copy })
    const check = `${copy}/test/simulation/mutations/check.ts`
    const { stdout } = await run(process.execPath, [check, JSON.stringify(search)], {
      cwd: copy,
      maxBuffer: 64 << 20,
      env: {}
    })
    return stdout
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}
