/**
 * Mutations: patches to src/ that each break one promise. A patch begins with what it breaks, the rule that must notice
 * and where to look for it; git passes over those lines.
 */
import { execFile } from "node:child_process"
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { promisify } from "node:util"
import { plainNode } from "../crew/Crew.ts"
import type { FaultKind } from "../../world/plannedRuns.ts"
import type { When } from "../../world/Calls.ts"
import type { WalkOptions } from "../support/podWalk.ts"

/** A part of the pod's walk with faults, or random seeds. */
export type Search =
  | {
      readonly kinds: ReadonlyArray<FaultKind>
      readonly steps?: ReadonlyArray<string>
      readonly when?: ReadonlyArray<When>
      readonly after?: "cleanup" | "retry"
      readonly walk?: WalkOptions
    }
  | { readonly first: number; readonly count: number }

export interface Mutation {
  readonly name: string
  readonly breaks: string
  /** The beginning of the finding that must come first. */
  readonly rule: string
  readonly search: Search
  /** The whole patch. */
  readonly text: string
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
      search: JSON.parse(header(text, file, "Search")) as Search,
      text
    }
  })

const run = promisify(execFile)

/** Only the patched files are copied: everything else is loaded from the tree. */
const patch = async (name: string, text: string, copy: string): Promise<void> => {
  for (const [, file = ""] of text.matchAll(/^\+\+\+ b\/(.+)$/gm)) {
    cpSync(`${top}${file}`, `${copy}/${file}`, { recursive: true })
  }
  await run("git", ["apply", `${directory}${name}.patch`], { cwd: copy })
}

/** What the simulation finds in the tree with the patch applied; "" for nothing. */
export const findingsOf = async ({ name, search, text }: Mutation): Promise<string> => {
  const copy = mkdtempSync(`${tmpdir()}/cricket-mutation-`)
  try {
    await patch(name, text, copy)
    const { execArgv, env } = plainNode
    const args = [...execArgv, "--import", `${directory}overlay.ts`, `${directory}check.ts`, JSON.stringify(search)]
    const { stdout } = await run(process.execPath, args, {
      maxBuffer: 64 << 20,
      env: { ...env, PATCHED_FILES: copy }
    })
    return stdout
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}
