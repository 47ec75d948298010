/** Runs steps one after the other and keeps how long each took. */
export interface Step {
  readonly name: string
  readonly milliseconds: number
  readonly result: string
}

export class Steps {
  readonly done: Array<Step> = []
  readonly say: (line: string) => void

  constructor(say: (line: string) => void) {
    this.say = say
  }

  /** The work answers its value and a sentence about it. */
  async run<A>(name: string, work: () => Promise<readonly [A, string]>): Promise<A> {
    const started = performance.now()
    try {
      const [value, result] = await work()
      const milliseconds = performance.now() - started
      this.done.push({ name, milliseconds: Math.round(milliseconds * 10) / 10, result })
      this.say(`${name.padEnd(18)}${milliseconds.toFixed(1).padStart(8)} ms  ${result}`)
      return value
    } catch (error) {
      this.say(`${name.padEnd(18)}  failed`)
      throw error
    }
  }

  /** Where the time went: one bar per step. */
  picture(width = 60): string {
    const longest = Math.max(...this.done.map(({ milliseconds }) => milliseconds), 1)
    return this.done
      .map(({ name, milliseconds }) => {
        const bar = "█".repeat(Math.max(1, Math.round((milliseconds / longest) * width)))
        return `${name.padEnd(18)}${bar} ${milliseconds} ms`
      })
      .join("\n")
  }
}
