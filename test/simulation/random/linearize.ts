/** Is there an order in which these commands, each at once, give the answers that they gave? (Wing and Gong's search.) */

export interface Operation<S> {
  readonly title: string
  /** Places in the order of all sendings and answers. */
  readonly sent: number
  /** Undefined when no answer came: then it may happen at any later time, in part or not at all. */
  readonly answered: number | undefined
  /** One after the other; with other commands' phases between them. */
  readonly phases: ReadonlyArray<(state: S) => ReadonlyArray<S>>
}

export type Verdict =
  | { readonly _tag: "Explained"; readonly states: number }
  | { readonly _tag: "Undecided"; readonly states: number }
  /** `stuck`: what nobody could explain, of the order that came farthest. */
  | { readonly _tag: "Unexplained"; readonly done: ReadonlyArray<string>; readonly stuck: ReadonlyArray<string> }

const limit = 200_000

export const linearize = <S>(
  initial: S,
  operations: ReadonlyArray<Operation<S>>,
  model: { readonly closure: (state: S) => ReadonlyArray<S>; readonly key: (state: S) => string }
): Verdict => {
  const seen = new Set<string>()
  const progress = operations.map(() => 0)
  const order: Array<string> = []
  let farthest = { count: -1, done: [] as ReadonlyArray<string>, stuck: [] as ReadonlyArray<string> }

  const isDone = (index: number) => progress[index] === (operations[index] as Operation<S>).phases.length
  const isOwed = (index: number) => !isDone(index) && (operations[index] as Operation<S>).answered !== undefined

  /** What was answered before this was sent has to be over by then. */
  const mayGoOn = (operation: Operation<S>) =>
    operations.every(({ answered }, index) => answered === undefined || answered > operation.sent || isDone(index))

  const search = (state: S): boolean => {
    const open = operations.flatMap((_, index) => (isOwed(index) ? [index] : []))
    if (open.length === 0) return true
    const key = `${progress.join(",")} ${model.key(state)}`
    if (seen.has(key)) return false
    seen.add(key)
    if (seen.size > limit) return false
    const count = progress.reduce((sum, phases) => sum + phases, 0)
    if (count > farthest.count) {
      const titles = open.filter((index) => mayGoOn(operations[index] as Operation<S>))
      farthest = {
        count,
        done: [...order, `state ${model.key(state)}`],
        stuck: titles.map((index) => (operations[index] as Operation<S>).title)
      }
    }
    const states = model.closure(state)
    for (const [index, operation] of operations.entries()) {
      const phase = operation.phases[progress[index] as number]
      if (phase === undefined || !mayGoOn(operation)) continue
      progress[index] = (progress[index] as number) + 1
      order.push(operation.title)
      const tried = new Set<string>()
      for (const next of states.flatMap((from) => phase(from))) {
        const nextKey = model.key(next)
        if (tried.has(nextKey)) continue
        tried.add(nextKey)
        if (search(next)) return true
      }
      order.pop()
      progress[index] = (progress[index] as number) - 1
    }
    return false
  }

  if (search(initial)) return { _tag: "Explained", states: seen.size }
  if (seen.size > limit) return { _tag: "Undecided", states: seen.size }
  return { _tag: "Unexplained", done: farthest.done, stuck: farthest.stuck }
}
