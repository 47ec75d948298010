/**
 * Processes that share the simulation's work, one per core. They stay: what they have loaded and compiled serves every
 * suite. Each takes the next job of one queue when it is done with the last, so that none is idle before the end.
 */
import { fork, type ChildProcess } from "node:child_process"
import { availableParallelism } from "node:os"
import type { Jobs } from "./jobs.ts"

type Name = keyof Jobs
type Input<N extends Name> = Parameters<Jobs[N]>[0]
type Output<N extends Name> = Awaited<ReturnType<Jobs[N]>>

/** What a member is sent, and what it answers. */
export interface Request {
  readonly name: Name
  readonly input: unknown
}
export type Response = { readonly output: unknown } | { readonly error: string }

interface Waiting extends Request {
  readonly resolve: (output: never) => void
  readonly reject: (error: Error) => void
}

/**
 * A run leaves some 15 MB of garbage and little else: with room for several runs the collector seldom finds anything
 * alive. Threads of its own would take the core that the other member works on.
 */
const flags = ["--min-semi-space-size=64", "--max-semi-space-size=64", "--single-threaded-gc"]

const top = new URL("../../..", import.meta.url).pathname

/** Plain Node, without what a test runner adds to its own processes; what was compiled is kept for the next one. */
export const plainNode = { execArgv: flags, env: { NODE_COMPILE_CACHE: `${top}.cache/compiled` } }

export const cores = availableParallelism()

class Crew {
  private readonly queue: Array<Waiting> = []
  private readonly idle: Array<ChildProcess> = []
  private members = 0

  run<N extends Name>(name: N, input: Input<N>): Promise<Output<N>> {
    return new Promise((resolve, reject) => {
      this.queue.push({ name, input, resolve, reject })
      this.distribute()
    })
  }

  private distribute(): void {
    while (this.queue.length > 0) {
      const member = this.idle.pop() ?? (this.members < cores ? this.hire() : undefined)
      if (member === undefined) return
      this.give(member, this.queue.shift() as Waiting)
    }
  }

  private hire(): ChildProcess {
    this.members++
    const module = new URL("member.ts", import.meta.url)
    return fork(module, [], { ...plainNode, serialization: "advanced", stdio: ["ignore", "inherit", "inherit", "ipc"] })
  }

  private give(member: ChildProcess, { name, input, resolve, reject }: Waiting): void {
    const died = (code: number | null, signal: string | null) => {
      this.members--
      reject(new Error(`a process of the simulation ended with ${code ?? signal} before it was done: ${name}`))
      this.distribute()
    }
    member.once("exit", died)
    member.once("message", (response: Response) => {
      member.off("exit", died)
      // Idle members keep nobody from ending, and end with whoever hired them.
      member.unref()
      member.channel?.unref()
      this.idle.push(member)
      if ("error" in response) reject(new Error(response.error))
      else resolve(response.output as never)
      this.distribute()
    })
    member.ref()
    member.channel?.ref()
    member.send({ name, input } satisfies Request)
  }
}

export const crew = new Crew()
