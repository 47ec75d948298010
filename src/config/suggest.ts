/** "Did you mean …?": the known word that a mistyped one is nearest to. */

/** Edits (insert, delete, replace, swap of neighbours) between two words: Damerau–Levenshtein, restricted form. */
const distance = (left: string, right: string): number => {
  let older: Array<number> = []
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index)
  for (let row = 1; row <= left.length; row++) {
    const current = [row]
    for (let column = 1; column <= right.length; column++) {
      const same = left[row - 1] === right[column - 1]
      let best = Math.min(
        (previous[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (previous[column - 1] ?? 0) + (same ? 0 : 1)
      )
      const swapped =
        row > 1 && column > 1 && left[row - 1] === right[column - 2] && left[row - 2] === right[column - 1]
      if (swapped) best = Math.min(best, (older[column - 2] ?? 0) + 1)
      current.push(best)
    }
    older = previous
    previous = current
  }
  return previous[right.length] ?? 0
}

const plain = (word: string): string => word.toLowerCase().replaceAll("-", "_")

/** The nearest of `known`, or undefined when none is near: at most a third of the word may differ. */
export const suggest = (word: string, known: Iterable<string>): string | undefined => {
  const wanted = plain(word)
  let best: string | undefined
  let bestDistance = Number.POSITIVE_INFINITY
  for (const candidate of known) {
    const plainCandidate = plain(candidate)
    const edits = distance(wanted, plainCandidate)
    if (edits < bestDistance && edits <= Math.max(1, Math.floor(Math.max(wanted.length, plainCandidate.length) / 3))) {
      best = candidate
      bestDistance = edits
    }
  }
  return best
}
