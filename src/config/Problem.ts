/** What is wrong with a piece of configuration, and how it is shown to the person who wrote it. */
import type { Place } from "./toml/node.ts"

export interface Problem {
  readonly at: Place
  /** One line: what is wrong, with the full name of the key. */
  readonly text: string
  /** What would have been right; shown under the caret. */
  readonly expected?: string
  /** A likely correction, shown as "did you mean …?". */
  readonly suggestion?: string
}

const line = (text: string, number: number): string => (text.split("\n")[number - 1] ?? "").replace(/\r$/, "")

/** Tabs stay tabs so that the caret stands below its text in any terminal; every other character becomes one blank. */
const blank = (text: string): string => Array.from(text, (character) => (character === "\t" ? "\t" : " ")).join("")

/** `file:line:column` for files, else the name of the source. */
export const renderPlace = (at: Place): string =>
  at.source.kind === "file" ? `${at.source.name}:${at.line}:${at.column}` : at.source.name

/** A problem as several lines: place and text, the source line with a caret below, the suggestion. */
export const renderProblem = (problem: Problem): string => {
  const { at } = problem
  const excerpt = line(at.source.text, at.line)
  const gutter = at.source.kind === "file" ? String(at.line) : ""
  const before = excerpt.slice(0, at.column - 1)
  const marked = excerpt.slice(at.column - 1, at.column - 1 + at.length)
  const caret = "^".repeat(Math.max(1, Array.from(marked).length))
  const lines = [`${renderPlace(at)}: ${problem.text}`]
  if (excerpt.trim() !== "") {
    lines.push(`  ${gutter} | ${excerpt}`)
    lines.push(
      `  ${" ".repeat(gutter.length)} | ${blank(before)}${caret}${problem.expected === undefined ? "" : ` expected ${problem.expected}`}`
    )
  } else if (problem.expected !== undefined) lines.push(`  expected ${problem.expected}`)
  if (problem.suggestion !== undefined) lines.push(`  did you mean ${problem.suggestion}?`)
  return lines.join("\n")
}
