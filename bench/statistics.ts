/** What many measurements of one thing come to, and tables of it. */

export interface Figures {
  readonly median: number
  readonly min: number
  readonly p90: number
  readonly count: number
}

/** The value that a share of the samples does not exceed (nearest rank). */
const rank = (sorted: ReadonlyArray<number>, share: number): number =>
  sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN

export const figuresOf = (samples: ReadonlyArray<number>): Figures => {
  const sorted = samples.toSorted((a, b) => a - b)
  return { median: rank(sorted, 0.5), min: rank(sorted, 0), p90: rank(sorted, 0.9), count: sorted.length }
}

/** Columns as wide as their widest cell, numbers to the right. */
export const table = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column < 2 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}
