/** What was sent and what came back, and what the contract makes of it: the phases of each command, or a complaint. */
import type { Command } from "./commands.ts"
import type { Operation } from "./linearize.ts"
import * as Model from "./model.ts"

export type Outcome =
  | { readonly _tag: "Answer"; readonly value: Readonly<Record<string, unknown>> }
  /** The tag of the typed error, with its text. */
  | { readonly _tag: "Refusal"; readonly error: string; readonly message: string }
  /** The client went away, the daemon died or was ended. */
  | { readonly _tag: "Lost" }

export interface Entry {
  readonly command: Command
  /** The ids that the command named; "" where it needs none. */
  readonly podId: string
  readonly containerId: string
  readonly sent: number
  answered: number | undefined
  outcome: Outcome
  /** A fault struck while it was in flight. */
  troubled: boolean
}

type Slotted = Extract<Command, { readonly pod: number }>
const slotOf = ({ command }: Entry): number | undefined => ("pod" in command ? (command as Slotted).pod : undefined)
const containerSlotOf = ({ command }: Entry): string | undefined =>
  "container" in command ? `c${command.container}` : undefined

const endOf = ({ answered, outcome }: Entry): number =>
  answered === undefined || outcome._tag === "Lost" ? Number.POSITIVE_INFINITY : answered

const overlap = (left: Entry, right: Entry): boolean => left.sent < endOf(right) && right.sent < endOf(left)

export interface SlotHistory {
  readonly operations: ReadonlyArray<Operation<Model.SlotState>>
  readonly complaints: ReadonlyArray<string>
}

const ends: ReadonlySet<string> = new Set([
  "StopContainer",
  "RemoveContainer",
  "StopPodSandbox",
  "RemovePodSandbox",
  "KillProcess"
])

export const titleOf = ({ command, podId, containerId, outcome, sent, answered }: Entry): string => {
  const ids = [podId, containerId].filter((id) => id !== "").map((id) => id.slice(0, 6))
  const result =
    outcome._tag === "Answer" ? "ok" : outcome._tag === "Refusal" ? `${outcome.error}: ${outcome.message}` : "no answer"
  const { name, ...rest } = command
  return `${sent}–${answered ?? ""} ${name} ${JSON.stringify(rest)} ${ids.join(" ")} → ${result}`
}

/**
 * One pod slot's part of an epoch: from a start of the machine to its loss of power. `haunted`: what an earlier epoch left
 * half made may still be going, unlisted, and hold its name.
 */
export const slotHistory = (all: ReadonlyArray<Entry>, slot: number, haunted: boolean): SlotHistory => {
  const mine = all.filter((entry) => slotOf(entry) === slot)
  const operations: Array<Operation<Model.SlotState>> = []
  const complaints: Array<string> = []

  const add = (entry: Entry, certain: boolean, phases: ReadonlyArray<Model.Phase>) => {
    if (phases.length === 0) return
    operations.push({ title: titleOf(entry), sent: entry.sent, answered: certain ? entry.answered : undefined, phases })
  }
  const others = (entry: Entry, test: (other: Entry) => boolean) =>
    mine.some((other) => other !== entry && overlap(entry, other) && test(other))
  const named = (...names: ReadonlyArray<string>) => {
    const set = new Set(names)
    return ({ command }: Entry) => set.has(command.name)
  }
  const sameContainer = (entry: Entry) => (other: Entry) =>
    containerSlotOf(other) === undefined || containerSlotOf(other) === containerSlotOf(entry)

  /** The container's end is in sight: what is done in it then may fail in many ways. */
  const ending = (entry: Entry) =>
    mine.some((other) => ends.has(other.command.name) && other.sent < endOf(entry) && sameContainer(entry)(other)) ||
    mine.some(({ command }) => command.name === "CreateContainer" && command.short)

  if (haunted) {
    operations.push({ title: "what was left half made", sent: -1, answered: undefined, phases: [Model.ghostMayShow] })
  }
  for (const entry of mine) {
    const { command, podId, containerId, outcome } = entry
    const answer = outcome._tag === "Answer" ? outcome.value : undefined
    const error = outcome._tag === "Refusal" ? outcome.error : undefined
    const certain = answer !== undefined
    // Requests for the same thing share its work: what struck that before this one was sent fails this one too.
    const struckBefore = mine.some(
      (other) => other !== entry && overlap(entry, other) && (other.troubled || other.outcome._tag === "Lost")
    )
    const excuse = (racing: boolean): boolean => {
      if (outcome._tag !== "Refusal" || entry.troubled || struckBefore || racing) return true
      complaints.push(`nothing explains this error: ${titleOf(entry)}`)
      return false
    }
    const slotName = containerSlotOf(entry) ?? ""
    switch (command.name) {
      case "RunPodSandbox":
        if (answer !== undefined) {
          add(entry, true, [Model.podRuns(String(answer["podSandboxId"]), others(entry, named("RunPodSandbox")))])
        } else if (error === "NameReserved") {
          const hiddenOne =
            haunted ||
            mine.some(
              (other) =>
                other !== entry &&
                named("RunPodSandbox")(other) &&
                other.sent < endOf(entry) &&
                other.outcome._tag !== "Answer"
            )
          if (!hiddenOne && !others(entry, named("RunPodSandbox", "RemovePodSandbox"))) {
            add(entry, true, [Model.nameIsTaken])
          }
        } else if (excuse(others(entry, named("RunPodSandbox", "StopPodSandbox", "RemovePodSandbox")))) {
          add(entry, false, [Model.podMayRun])
        }
        break
      case "StopPodSandbox":
        if (excuse(others(entry, named("RemovePodSandbox"))))
          add(entry, certain, [Model.podStopBegins(podId), Model.podIsStopped(podId)])
        break
      case "RemovePodSandbox":
        if (excuse(false)) add(entry, certain, [Model.podRemovalBegins(podId), Model.podIsGone(podId)])
        break
      case "CreateContainer":
        if (answer !== undefined) {
          const id = String(answer["containerId"])
          const shared = others(entry, (other) => named("CreateContainer")(other) && sameContainer(entry)(other))
          add(entry, true, [
            Model.podTakesContainers(podId, slotName, shared),
            Model.containerIsCreated(podId, slotName, id, command.short, shared)
          ])
        } else if (error === "PodNotFound" || error === "WrongState") {
          // A pod's stop ends what is being made in it; what then cannot be given back shows.
          if (entry.troubled || others(entry, named("StopPodSandbox", "RemovePodSandbox"))) {
            add(entry, false, [Model.containerMayBeCreated(podId, slotName, command.short)])
          } else add(entry, true, [Model.podIsNotReady(podId)])
        } else if (error === "NameReserved") {
          const hiddenOne =
            haunted ||
            mine.some(
              (other) =>
                other !== entry &&
                named("CreateContainer")(other) &&
                sameContainer(entry)(other) &&
                other.sent < endOf(entry) &&
                other.outcome._tag !== "Answer"
            )
          const racing = (other: Entry) =>
            named("CreateContainer", "RemoveContainer")(other) && sameContainer(entry)(other)
          if (!hiddenOne && !others(entry, racing)) add(entry, true, [Model.containerNameIsTaken(podId, slotName)])
        } else if (
          excuse(
            error === "ImageMissing" ||
              error === "ImageNotFound" ||
              others(entry, named("StopPodSandbox", "RemovePodSandbox", "RemoveContainer", "CreateContainer"))
          )
        ) {
          add(entry, false, [
            Model.podTakesContainers(podId, slotName, true),
            Model.containerMayBeCreated(podId, slotName, command.short)
          ])
        }
        break
      case "StartContainer":
        if (answer !== undefined) {
          const shared = others(entry, (other) => named("StartContainer")(other) && sameContainer(entry)(other))
          add(entry, true, [Model.containerStarts(podId, slotName, containerId, shared)])
        } else if (error === "WrongState" || error === "ContainerNotFound") {
          const shared = others(entry, (other) => named("StartContainer")(other) && sameContainer(entry)(other))
          if (!shared) add(entry, true, [Model.containerCannotStart(podId, slotName, containerId)])
        } else if (excuse(ending(entry))) {
          add(entry, false, [Model.containerMayStart(podId, slotName, containerId)])
        }
        break
      case "StopContainer":
        if (excuse(others(entry, (other) => ends.has(other.command.name)))) {
          add(entry, certain, [
            Model.containerEndBegins(podId, slotName, containerId),
            Model.containerHasExited(podId, slotName, containerId)
          ])
        }
        break
      case "RemoveContainer":
        if (excuse(false)) {
          add(entry, certain, [
            Model.containerRemovalBegins(podId, slotName, containerId),
            Model.containerIsGone(podId, slotName, containerId)
          ])
        }
        break
      case "KillProcess":
        add(entry, false, [Model.containerEndBegins(podId, slotName, containerId)])
        break
      case "ExecSync":
        if (answer !== undefined) {
          if (answer["exitCode"] === 0) add(entry, true, [Model.containerRuns(podId, slotName, containerId)])
          else if (!ending(entry)) complaints.push(`a command that must succeed did not: ${titleOf(entry)}`)
        } else if (error === "WrongState" || error === "ContainerNotFound") {
          if (!ending(entry)) add(entry, true, [Model.containerDoesNotRun(podId, slotName, containerId)])
        } else excuse(ending(entry))
        break
      default:
    }
  }

  for (const entry of all) {
    if (entry.outcome._tag !== "Answer" || slotOf(entry) !== undefined) continue
    const { name } = entry.command
    const seen = entry.outcome.value[`p${slot}`]
    if (name === "ListPodSandbox") add(entry, true, [Model.podIsSeen(seen as Model.SeenPod | undefined)])
    if (name === "ListContainers") {
      const containers = (seen ?? {}) as Readonly<Record<string, Model.SeenContainer>>
      add(entry, true, [Model.containersAreSeen(containers)])
    }
  }
  return { operations, complaints }
}
