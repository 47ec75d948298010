/**
 * What the contract says of one pod slot: a pod and its containers, seen by one command after the other. A command is a
 * list of phases; each phase says which states can follow a state, none if it cannot be there.
 */

export interface ContainerModel {
  readonly id: string
  readonly state: "created" | "running" | "exited"
  /** It may come to its end by itself: its program is short, or somebody is ending it. */
  readonly ending: boolean
  /** It may vanish: its removal has begun. */
  readonly leaving: boolean
}

export interface PodModel {
  readonly id: string
  readonly ready: boolean
  /** Its stop has begun: its containers come to their ends. */
  readonly stopping: boolean
  /** Its removal has begun. */
  readonly leaving: boolean
  readonly containers: Readonly<Record<string, ContainerModel>>
}

/** Undefined: there is no pod of this name. */
export type SlotState = PodModel | undefined

export type Phase = (state: SlotState) => ReadonlyArray<SlotState>

/** An id that nobody has been told yet, because the answer that held it was lost. */
export const anyId = "?"

const same = (left: string, right: string): boolean => left === right || left === anyId || right === anyId
const known = (left: string, right: string): string => (left === anyId ? right : left)

const withContainer = (pod: PodModel, slot: string, container: ContainerModel | undefined): PodModel => {
  const { [slot]: _, ...others } = pod.containers
  return { ...pod, containers: container === undefined ? others : { ...others, [slot]: container } }
}

const ended = (container: ContainerModel): ContainerModel => ({ ...container, state: "exited" })

/** What can happen behind everybody's back. */
function* hidden(state: SlotState): Generator<SlotState> {
  if (state === undefined) return
  for (const [slot, container] of Object.entries(state.containers)) {
    const ending = container.ending || state.stopping || state.leaving
    if (ending && container.state !== "exited") yield withContainer(state, slot, ended(container))
    if (container.state === "exited" && (container.leaving || state.leaving))
      yield withContainer(state, slot, undefined)
  }
  if (state.leaving && Object.keys(state.containers).length === 0) yield undefined
}

export const keyOf = (state: SlotState): string => (state === undefined ? "-" : JSON.stringify(state))

/** The state, and all that it can become unseen. */
export const closure = (state: SlotState): ReadonlyArray<SlotState> => {
  const found = new Map([[keyOf(state), state]])
  const queue = [state]
  while (queue.length > 0) {
    for (const later of hidden(queue.pop())) {
      const key = keyOf(later)
      if (found.has(key)) continue
      found.set(key, later)
      queue.push(later)
    }
  }
  return [...found.values()]
}

const none: ReadonlyArray<SlotState> = []

// Pods

/** `shared`: another request for it is in flight, and both get its answer, whatever becomes of the pod meanwhile. */
export const podRuns =
  (id: string, shared: boolean): Phase =>
  (state) => {
    if (state === undefined) return [{ id, ready: true, stopping: false, leaving: false, containers: {} }]
    return (state.ready || shared) && same(state.id, id) ? [{ ...state, id: known(state.id, id) }] : none
  }

/** A start that failed, or whose answer was lost: nothing, a pod, or what could not be given back yet. */
export const podMayRun: Phase = (state) =>
  state === undefined
    ? [
        undefined,
        { id: anyId, ready: true, stopping: false, leaving: false, containers: {} },
        { id: anyId, ready: false, stopping: true, leaving: true, containers: {} }
      ]
    : [state]

const ofPod =
  (id: string, change: (pod: PodModel) => ReadonlyArray<SlotState>): Phase =>
  (state) =>
    state === undefined || !same(state.id, id) ? [state] : change({ ...state, id: known(state.id, id) })

export const podStopBegins = (id: string): Phase => ofPod(id, (pod) => [{ ...pod, ready: false, stopping: true }])

export const podIsStopped = (id: string): Phase =>
  ofPod(id, (pod) => (Object.values(pod.containers).every(({ state }) => state === "exited") ? [pod] : none))

export const podRemovalBegins = (id: string): Phase =>
  ofPod(id, (pod) => [{ ...pod, ready: false, stopping: true, leaving: true }])

export const podIsGone = (id: string): Phase => ofPod(id, () => none)

/** There is one of this name, or one of this id is not what the command needs. */
export const nameIsTaken: Phase = (state) => (state === undefined ? none : [state])
export const podIsNotReady =
  (id: string): Phase =>
  (state) =>
    state === undefined || !same(state.id, id) || !state.ready ? [state] : none

/** What an earlier life left half made and cannot give back yet: it shows when its first release has failed. */
export const ghostMayShow: Phase = (state) =>
  state === undefined ? [state, { id: anyId, ready: false, stopping: true, leaving: true, containers: {} }] : [state]

// Containers

const inPod =
  (
    podId: string,
    absent: (state: SlotState) => ReadonlyArray<SlotState>,
    change: (pod: PodModel) => ReadonlyArray<SlotState>
  ): Phase =>
  (state) =>
    state === undefined || !same(state.id, podId) ? absent(state) : change({ ...state, id: known(state.id, podId) })

/** Or there is one of this name already, which is handed over. */
export const podTakesContainers = (podId: string, slot: string, shared: boolean): Phase =>
  inPod(
    podId,
    () => none,
    (pod) => (pod.ready || shared || pod.containers[slot] !== undefined ? [pod] : none)
  )

export const containerIsCreated = (podId: string, slot: string, id: string, short: boolean, shared: boolean): Phase =>
  inPod(
    podId,
    () => none,
    (pod) => {
      const container = pod.containers[slot]
      if (container === undefined) {
        return [withContainer(pod, slot, { id, state: "created", ending: short, leaving: false })]
      }
      return (container.state === "created" || shared) && same(container.id, id)
        ? [withContainer(pod, slot, { ...container, id: known(container.id, id) })]
        : none
    }
  )

export const containerMayBeCreated = (podId: string, slot: string, short: boolean): Phase =>
  inPod(
    podId,
    (state) => [state],
    (pod) =>
      pod.containers[slot] === undefined
        ? [
            pod,
            withContainer(pod, slot, { id: anyId, state: "created", ending: short, leaving: false }),
            withContainer(pod, slot, { id: anyId, state: "exited", ending: true, leaving: true })
          ]
        : [pod]
  )

export const containerNameIsTaken = (podId: string, slot: string): Phase =>
  inPod(
    podId,
    () => none,
    (pod) => (pod.containers[slot] === undefined ? none : [pod])
  )

const ofContainer = (
  podId: string,
  slot: string,
  id: string,
  absent: boolean,
  change: (container: ContainerModel, pod: PodModel) => ReadonlyArray<ContainerModel>
): Phase =>
  inPod(
    podId,
    (state) => (absent ? [state] : none),
    (pod) => {
      const container = pod.containers[slot]
      if (container === undefined || !same(container.id, id)) return absent ? [pod] : none
      const named = { ...container, id: known(container.id, id) }
      return change(named, pod).map((next) => withContainer(pod, slot, next))
    }
  )

/** `shared`: another start of it is in flight, and both get its answer. */
export const containerStarts = (podId: string, slot: string, id: string, shared: boolean): Phase =>
  ofContainer(podId, slot, id, false, (container) => {
    if (container.state === "created") return [{ ...container, state: "running" }]
    return shared ? [container] : []
  })

export const containerMayStart = (podId: string, slot: string, id: string): Phase =>
  ofContainer(podId, slot, id, true, (container) =>
    container.state === "created" ? [container, { ...container, state: "running" }, ended(container)] : [container]
  )

/** It runs, has ended, is being ended, or is not there. */
export const containerCannotStart = (podId: string, slot: string, id: string): Phase =>
  ofContainer(podId, slot, id, true, (container, { stopping }) =>
    container.state === "created" && !container.ending && !stopping ? [] : [container]
  )

export const containerEndBegins = (podId: string, slot: string, id: string): Phase =>
  ofContainer(podId, slot, id, true, (container) => [{ ...container, ending: true }])

export const containerHasExited = (podId: string, slot: string, id: string): Phase =>
  ofContainer(podId, slot, id, true, (container) => (container.state === "exited" ? [container] : []))

export const containerRemovalBegins = (podId: string, slot: string, id: string): Phase =>
  ofContainer(podId, slot, id, true, (container) => [{ ...container, ending: true, leaving: true }])

export const containerIsGone = (podId: string, slot: string, id: string): Phase =>
  ofContainer(podId, slot, id, true, () => [])

export const containerRuns = (podId: string, slot: string, id: string): Phase =>
  ofContainer(podId, slot, id, false, (container) => (container.state === "running" ? [container] : []))

export const containerDoesNotRun = (podId: string, slot: string, id: string): Phase =>
  ofContainer(podId, slot, id, true, (container) => (container.state === "running" ? [] : [container]))

// What lists show

export interface SeenPod {
  readonly id: string
  readonly ready: boolean
}
export interface SeenContainer {
  readonly id: string
  readonly podId: string
  readonly state: ContainerModel["state"]
}

export const podIsSeen =
  (seen: SeenPod | undefined): Phase =>
  (state) => {
    if (seen === undefined || state === undefined) return seen === state ? [state] : none
    return same(state.id, seen.id) && state.ready === seen.ready ? [{ ...state, id: seen.id }] : none
  }

export const containersAreSeen =
  (seen: Readonly<Record<string, SeenContainer>>): Phase =>
  (state) => {
    const slots = Object.keys(seen)
    if (state === undefined) return slots.length === 0 ? [state] : none
    if (slots.length !== Object.keys(state.containers).length) return none
    const containers: Record<string, ContainerModel> = {}
    let podId = state.id
    for (const slot of slots) {
      const [shown, container] = [seen[slot] as SeenContainer, state.containers[slot]]
      const fits = container !== undefined && same(container.id, shown.id) && container.state === shown.state
      if (!fits || !same(podId, shown.podId)) return none
      podId = known(podId, shown.podId)
      containers[slot] = { ...container, id: shown.id }
    }
    return [{ ...state, id: podId, containers }]
  }
