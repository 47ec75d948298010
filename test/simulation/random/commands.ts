/**
 * What a random run does, as data: bursts of commands that are in flight together, and faults that strike a number of
 * calls after a command was sent. Everything is drawn from one seed; leaving parts out leaves the meaning of the rest.
 */
import { seededRandom } from "../../world/Engine.ts"

export const podSlots = 3
export const containerSlots = 2

/** Objects are named by slots, not by ids: which id is meant shows when the command is sent. */
export type Command = (
  | { readonly name: "PullImage" | "RemoveImage" }
  | { readonly name: "RunPodSandbox" | "StopPodSandbox" | "RemovePodSandbox"; readonly pod: number }
  | {
      readonly name: "CreateContainer"
      readonly pod: number
      readonly container: number
      /** Its program ends by itself after a second. */
      readonly short: boolean
    }
  | {
      readonly name: "StartContainer" | "RemoveContainer" | "ExecSync" | "KillProcess"
      readonly pod: number
      readonly container: number
    }
  | {
      readonly name: "StopContainer"
      readonly pod: number
      readonly container: number
      /** Seconds. */
      readonly grace: number
    }
  | { readonly name: "ListPodSandbox" | "ListContainers" }
) & {
  /** Virtual milliseconds after which the client goes away. */
  readonly cancelMs?: number
}
export type CommandName = Command["name"]

export type RandomFaultKind = "fail" | "interrupt" | "terminate" | "crash" | "power" | "exit" | "kill"

export interface RandomFault {
  readonly kind: RandomFaultKind
  /** After so many commands were sent its calls are counted. */
  readonly command: number
  /** It strikes at the first call that it can strike, this many calls later. */
  readonly calls: number
  /** Chooses among the errors of a call, the sides of a call and the kinds of loss. */
  readonly pick: number
}

export interface Burst {
  readonly commands: ReadonlyArray<Command>
  /** Virtual milliseconds until the next burst is sent, whatever is still in flight. */
  readonly patienceMs: number
}

export interface Plan {
  readonly seed: number
  /** The run ends when so many commands have been sent: those that nobody can send, for want of an id, do not count. */
  readonly enough: number
  readonly bursts: ReadonlyArray<Burst>
  readonly faults: ReadonlyArray<RandomFault>
}

const weights: Readonly<Record<CommandName, number>> = {
  PullImage: 3,
  RemoveImage: 1,
  RunPodSandbox: 8,
  StopPodSandbox: 3,
  RemovePodSandbox: 3,
  CreateContainer: 9,
  StartContainer: 8,
  StopContainer: 5,
  RemoveContainer: 4,
  ExecSync: 4,
  KillProcess: 2,
  ListPodSandbox: 2,
  ListContainers: 2
}

const faultKinds: ReadonlyArray<RandomFaultKind> = ["fail", "interrupt", "terminate", "crash", "power", "exit", "kill"]

/** What a run cannot do without. */
const always: ReadonlySet<CommandName> = new Set(["PullImage", "RunPodSandbox", "CreateContainer"])

const enough = 30
/** A run that cannot send enough of them ends all the same. */
const most = 200

export const drawPlan = (seed: number): Plan => {
  const random = seededRandom(Math.imul(seed, 0x9e3779b1) ^ 0x5bd1e995)
  const below = (limit: number) => Math.floor(random() * limit)
  const oneOf = <A>(list: ReadonlyArray<A>): A => list[below(list.length)] as A

  // Swarm: each run leaves some commands and kinds of fault out, so that it goes deeper into the others.
  const names = (Object.keys(weights) as ReadonlyArray<CommandName>).filter(
    (name) => always.has(name) || random() < 0.75
  )
  const kinds = faultKinds.filter(() => random() < 0.5)
  const bag = names.flatMap((name) => Array.from({ length: weights[name] }, () => name))
  const pods = 1 + below(podSlots)
  const few = random() < 0.5

  const draw = (): Command => {
    const name = oneOf(bag)
    const [pod, container] = [below(pods), few ? 0 : below(containerSlots)]
    const cancel = random() < 0.08 ? { cancelMs: below(60) } : {}
    switch (name) {
      case "PullImage":
      case "RemoveImage":
      case "ListPodSandbox":
      case "ListContainers":
        return { name, ...cancel }
      case "RunPodSandbox":
      case "StopPodSandbox":
      case "RemovePodSandbox":
        return { name, pod, ...cancel }
      case "CreateContainer":
        return { name, pod, container, short: random() < 0.2, ...cancel }
      case "StopContainer":
        return { name, pod, container, grace: oneOf([0, 1, 5]), ...cancel }
      default:
        return { name, pod, container, ...cancel }
    }
  }

  const bursts: Array<Burst> = [
    { commands: [{ name: "PullImage" }, { name: "RunPodSandbox", pod: 0 }], patienceMs: 2_000 }
  ]
  let count = 2
  while (count < most) {
    const commands = Array.from({ length: 3 + below(4) }, draw)
    count += commands.length
    bursts.push({ commands, patienceMs: oneOf([0, 5, 50, 500, 3_000]) })
  }
  const faults = Array.from({ length: 1 + below(3) }, (): RandomFault => ({
    kind: kinds.length === 0 ? "crash" : oneOf(kinds),
    command: below(enough),
    calls: below(60),
    pick: below(1 << 16)
  }))
  return { seed, enough, bursts, faults }
}

export const describeCommand = (command: Command): string => {
  const { name, ...rest } = command
  const text = Object.entries(rest).map(([key, value]) => `${key} ${value}`)
  return [name, ...text].join(" ")
}
