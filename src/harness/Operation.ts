/** What a scenario is made of: an operation picks its object by the model, asks the target, and judges the answer. */
import type { Arbitrary } from "fast-check"
import type { Effect } from "effect"
import type { Files } from "../linux/Files.ts"
import type { LinuxError } from "../linux/LinuxError.ts"
import type { Processes } from "../linux/Processes.ts"
import type { Sockets } from "../linux/Sockets.ts"
import type { RpcFailure, RpcName } from "./Cri.ts"
import type { TargetError, Violation } from "./HarnessError.ts"
import type { Judge } from "./Judge.ts"
import type { ContainerModel, Event, Model, PodModel } from "./Model.ts"
import type { Target } from "./Target.ts"

/** What every operation works with. */
export interface Site {
  readonly target: Target
  readonly model: Model
  readonly judge: Judge
  /** After each step what ends by itself has ended: what is shown then does not depend on how fast a target is. */
  readonly patient: boolean
  readonly invariants: ReadonlyArray<Invariant>
}

export type Services = Files | Processes | Sockets

/** What has to hold whatever was asked for; beside what the harness looks at by itself. */
export interface Invariant {
  readonly name: string
  /** Looked at after each step, or once at the end, when all is removed and the host was compared. */
  readonly after: "step" | "scenario"
  /** Holds what it finds against rules (`judge`); a request of its own that fails breaks `read.known`. */
  readonly check: (site: Site) => Effect.Effect<void, Violation | RpcFailure | LinuxError | TargetError, Services>
}

/** Numbers, texts and switches of a scenario; a smaller number is a simpler scenario. */
export type Parameters = Readonly<Record<string, number | string | boolean>>

export type Outcome =
  | { readonly _tag: "Answered"; readonly value: unknown; readonly tookMs: number }
  | { readonly _tag: "Failed"; readonly code: string; readonly details: string; readonly tookMs: number }
  /** Cancelled, or the daemon ended meanwhile. */
  | { readonly _tag: "Unknown"; readonly tookMs: number }

/** An object that an operation reads or changes. */
export interface Touch {
  readonly object: PodModel | ContainerModel
  /** What it does to it; absent for reads. */
  readonly act?: Event["act"]
}

export interface Surroundings {
  /** Another operation changes one of the same objects at the same time. */
  readonly contended: boolean
  /** The same operation runs at the same time with the same parameters. */
  readonly twin: boolean
  /** The answer to the first request was lost; this is the second one's. */
  readonly retried: boolean
}

export interface Prepared {
  /** For the log: "StopPodSandbox pod-3". */
  readonly label: string
  /** Asked for once everything that runs at the same time is prepared. */
  readonly touches: () => ReadonlyArray<Touch>
  readonly ask: Effect.Effect<unknown, RpcFailure | LinuxError | TargetError, Services>
  /** What of an answer is compared with another target's; all of it unless told. */
  readonly compared?: (value: unknown) => unknown
  /** Milliseconds beyond the profile's limit that an answer may take. */
  readonly mayTakeMs?: number
  /** Holds the outcome against the rules. The states of what was touched follow from `touches` and the outcome. */
  readonly check: (
    outcome: Outcome,
    surroundings: Surroundings
  ) => Effect.Effect<void, Violation | RpcFailure | LinuxError | TargetError, Services>
  /**
   * After a lost answer: asks again as kubelet does. Its outcome is an event like any other's. Absent for what can be
   * left as it is.
   */
  readonly retry?: Prepared["ask"]
}

export interface Operation {
  /** As scenarios name it. */
  readonly name: string
  readonly group: "pods" | "containers" | "processes" | "exec" | "logs" | "images" | "reads" | "streams" | "own"
  /** How often it is drawn, beside the others' weights. */
  readonly weight: number
  /** RPCs without which it is left out. */
  readonly needs?: ReadonlyArray<RpcName>
  /** Only ever alone: it has no meaning beside others. */
  readonly alone?: boolean
  readonly parameters: Arbitrary<Parameters>
  /** Undefined when there is nothing that it could act on; the step is then left out. */
  readonly prepare: (site: Site, parameters: Parameters) => Prepared | undefined
}

export const answered = (outcome: Outcome): boolean => outcome._tag === "Answered"

/** The answer of a request that was answered. */
export const valueOf = <A>(outcome: Outcome): A =>
  (outcome as Extract<Outcome, { readonly _tag: "Answered" }>).value as A

export const describe = (outcome: Outcome): string => {
  switch (outcome._tag) {
    case "Answered":
      return "it succeeded"
    case "Failed":
      return `it failed with ${outcome.code}: ${outcome.details}`
    case "Unknown":
      return "its answer was lost"
  }
}

export const numberOf = (parameters: Parameters, name: string): number => {
  const value = parameters[name]
  return typeof value === "number" ? value : 0
}

export const textOf = (parameters: Parameters, name: string): string => String(parameters[name] ?? "")
