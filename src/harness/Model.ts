/**
 * What the contract says that a target holds after the requests that it has answered. An object whose fate is not
 * certain, because its answer was lost or because several requests met, has several possible states; reading it back
 * leaves one.
 */
import { type ContainerConfig, NamespaceMode, type PodSandboxConfig } from "../gen/runtime/v1/api.ts"

export type PodState = "ready" | "notReady" | "absent"
export type ContainerState = "created" | "running" | "exited" | "absent"

/** What a container's program does. */
export type Behaviour =
  /** Runs until it is killed: its first process has no handler for SIGTERM. */
  | "sleeps"
  /** Ends with 0 at SIGTERM. */
  | "obeys"
  /** Ends by itself, at once, with 3. */
  | "fails"
  /** Ends by itself, at once, with 0. */
  | "completes"
  /** Writes numbered lines until it is killed. */
  | "writes"
  /** Has children in sessions of their own. */
  | "forks"
  /** Writes what it reads, until it is killed. */
  | "echoes"
  /** Takes more memory than it may, at once. */
  | "outgrows"

export interface PodModel {
  /** metadata.uid, unique over all runs. */
  readonly key: string
  readonly config: PodSandboxConfig
  readonly handler: string
  /** "" while nobody has said it. */
  id: string
  states: ReadonlySet<PodState>
  /** The rule that a pod in another state breaks. */
  because: string
  /** A request for it may still be at work: what is read now may change by itself. */
  inFlux: boolean
  /** It may become NOTREADY by itself: what watched over it was killed. */
  mayEnd: boolean
  createdAt: bigint
  address: string
}

export interface ContainerModel {
  /** Pod's key, name and attempt. */
  readonly key: string
  readonly pod: PodModel
  readonly config: ContainerConfig
  readonly behaviour: Behaviour
  id: string
  states: ReadonlySet<ContainerState>
  because: string
  inFlux: boolean
  /** It may exit by itself. */
  mayEnd: boolean
  /** Exit codes that may be seen; undefined when any may. */
  codes: ReadonlySet<number> | undefined
  createdAt: bigint
  startedAt: bigint
  /** Of the exit that was seen; never changes again. */
  exit: { readonly code: number; readonly reason: string; readonly finishedAt: bigint } | undefined
  /** Its log's paths in order, the one that is written to last. Undefined where lines may be missing. */
  logs: ReadonlyArray<string> | undefined
  wasStarted: boolean
  /** Something may have ended it before its program did. */
  wasDisturbed: boolean
}

export interface Model {
  readonly pods: Array<PodModel>
  readonly containers: Array<ContainerModel>
  /** Whether the spare image is there; undefined when that is not certain. */
  spare: boolean | undefined
  /** For names that no other run has. */
  readonly prefix: string
  count: number
}

export const makeModel = (prefix: string): Model => ({ pods: [], containers: [], spare: undefined, prefix, count: 0 })

const mayBeThere = (states: ReadonlySet<string>) => [...states].some((state) => state !== "absent")

/** What a request can name: it has an id and may be there. */
export const livePods = (model: Model): ReadonlyArray<PodModel> =>
  model.pods.filter(({ id, states, inFlux }) => id !== "" && !inFlux && mayBeThere(states))

export const liveContainers = (model: Model): ReadonlyArray<ContainerModel> =>
  model.containers.filter(({ id, states, inFlux, pod }) => id !== "" && !inFlux && !pod.inFlux && mayBeThere(states))

export const containersOf = (model: Model, pod: PodModel): ReadonlyArray<ContainerModel> =>
  model.containers.filter((container) => container.pod === pod)

export const is = <S extends string>(object: { readonly states: ReadonlySet<S> }, state: S): boolean =>
  object.states.size === 1 && object.states.has(state)

export const may = <S extends string>(object: { readonly states: ReadonlySet<S> }, state: S): boolean =>
  object.states.has(state)

/** An entity by a number of the scenario: the same number keeps its meaning while a scenario is made smaller. */
export const pick = <A>(from: ReadonlyArray<A>, number: number): A | undefined => from[number % from.length]

export const endsByItself = (behaviour: Behaviour): boolean =>
  behaviour === "fails" || behaviour === "completes" || behaviour === "outgrows"

const killed = 137

/** Exit codes by the program alone. */
export const ownCodes: Readonly<Record<Behaviour, ReadonlyArray<number>>> = {
  sleeps: [],
  obeys: [],
  fails: [3],
  completes: [0],
  writes: [],
  forks: [],
  echoes: [],
  outgrows: [killed]
}

const terminated = 143

/**
 * Exit codes that a request can bring about. A handler of the first process may come too late for an early SIGTERM,
 * which then ends nothing; at the end of the grace period it is killed.
 */
export const codesOfStop = (
  { behaviour, pod }: Pick<ContainerModel, "behaviour" | "pod">,
  graceSeconds: number
): ReadonlyArray<number> => {
  if (graceSeconds === 0) return [killed]
  // A process that is not the first of its PID namespace needs no handler to be ended.
  const isFirst = pod.config.linux?.securityContext?.namespaceOptions?.pid !== NamespaceMode.POD
  return [...(behaviour === "obeys" ? [0] : []), ...(isFirst ? [] : [terminated]), killed]
}

/** Another exit code that may be seen from now on: something was asked for that may end the container so. */
export const addCode = (container: ContainerModel, code: number): void => {
  container.wasDisturbed = true
  if (container.codes !== undefined) container.codes = new Set([...container.codes, code])
}

/** Those that run for certain, and go on until they are told otherwise. */
export const runningContainers = (model: Model): ReadonlyArray<ContainerModel> =>
  liveContainers(model).filter((one) => is(one, "running") && !one.mayEnd && !one.pod.mayEnd)

export type Act = "create" | "start" | "stop" | "remove" | "stopPod" | "removePod" | "run" | "killed"

/** A request that touched an object, and whether it was done: "unknown" where the answer was lost. */
export interface Event {
  readonly act: Act
  readonly result: "done" | "failed" | "unknown"
}

const has = (events: ReadonlyArray<Event>, act: Act, ...results: ReadonlyArray<Event["result"]>) =>
  events.some((event) => event.act === act && results.includes(event.result))

/** The states that a pod can have after these requests, in whatever order they took effect. */
export const podAfter = (states: ReadonlySet<PodState>, events: ReadonlyArray<Event>): ReadonlySet<PodState> => {
  if (has(events, "removePod", "done")) return new Set(["absent"])
  const after = new Set(states)
  if (has(events, "run", "done")) {
    after.clear()
    after.add("ready")
  }
  if (has(events, "run", "unknown")) for (const state of ["ready", "notReady", "absent"] as const) after.add(state)
  if (has(events, "stopPod", "done")) {
    const wasThere = mayBeThere(after)
    const mayBeGone = after.has("absent")
    after.clear()
    if (wasThere) after.add("notReady")
    if (mayBeGone) after.add("absent")
  }
  if (has(events, "stopPod", "unknown") && mayBeThere(after)) after.add("notReady")
  if (has(events, "removePod", "unknown")) {
    after.add("absent")
    if (mayBeThere(after)) after.add("notReady")
  }
  return after
}

/** The same for a container. `endsAlone`: its program may end at any time after its start. */
export const containerAfter = (
  states: ReadonlySet<ContainerState>,
  events: ReadonlyArray<Event>,
  endsAlone: boolean
): ReadonlySet<ContainerState> => {
  if (has(events, "removePod", "done") || has(events, "remove", "done")) return new Set(["absent"])
  const after = new Set(states)
  if (has(events, "create", "done")) {
    after.clear()
    after.add("created")
  }
  if (has(events, "create", "unknown")) after.add("created").add("absent")
  const started = has(events, "start", "done")
  if (started) {
    after.delete("created")
    after.add("running")
    if (!states.has("exited")) after.delete("exited")
  }
  if (has(events, "start", "unknown")) after.add("running").add("exited")
  const mayBeGone = after.has("absent")
  const wasThere = mayBeThere(after)
  const exitedOnly = () => {
    after.clear()
    if (wasThere) after.add("exited")
    if (mayBeGone) after.add("absent")
  }
  if (has(events, "stop", "done") || has(events, "stopPod", "done") || has(events, "killed", "done")) {
    exitedOnly()
    // The stop may have been first, and have found nothing to stop.
    if (started && !has(events, "stopPod", "done")) after.add("running")
  }
  if (wasThere && (has(events, "stop", "unknown") || has(events, "stopPod", "unknown"))) after.add("exited")
  if (has(events, "remove", "unknown") || has(events, "removePod", "unknown")) {
    after.add("absent")
    if (wasThere) after.add("exited")
  }
  if (endsAlone && after.has("running")) after.add("exited")
  return after
}
