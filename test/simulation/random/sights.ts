/** States that random runs have to reach now and then: a generator that never gets there proves nothing about them. */
import type { Fault } from "../../world/Calls.ts"
import type { CommandName } from "./commands.ts"
import type { Entry } from "./history.ts"

const span = ({ sent, answered }: Entry): readonly [number, number] => [sent, answered ?? Number.POSITIVE_INFINITY]

const overlapping = (entries: ReadonlyArray<Entry>, left: CommandName, right: CommandName): boolean =>
  entries.some((one) => {
    if (one.command.name !== left) return false
    const [from, to] = span(one)
    return entries.some((other) => {
      if (other === one || other.command.name !== right) return false
      if ("pod" in one.command && "pod" in other.command && one.command.pod !== other.command.pod) return false
      const [start, end] = span(other)
      return from < end && start < to
    })
  })

const refused = (entries: ReadonlyArray<Entry>, name: CommandName, error: string): boolean =>
  entries.some(({ command, outcome }) => command.name === name && outcome._tag === "Refusal" && outcome.error === error)

interface Seen {
  readonly entries: ReadonlyArray<Entry>
  readonly faults: ReadonlyArray<Fault>
  readonly log: ReadonlyArray<string>
}

const lost = (entries: ReadonlyArray<Entry>, name: CommandName): boolean =>
  entries.some(({ command, outcome, troubled }) => command.name === name && outcome._tag === "Lost" && troubled)

export const sights = {
  "three commands in flight": ({ entries }) =>
    entries.some((one) => {
      const [from] = span(one)
      return entries.filter((other) => span(other)[0] <= from && span(other)[1] > from).length >= 3
    }),
  "a call failed": ({ faults }) => faults.some(({ kind }) => kind === "fail"),
  "the daemon died": ({ faults }) => faults.some(({ kind }) => kind === "crash"),
  "the daemon was asked to end": ({ faults }) => faults.some(({ kind }) => kind === "terminate"),
  "power was lost": ({ faults }) => faults.some(({ kind }) => kind === "power"),
  "a program failed": ({ faults }) => faults.some(({ kind }) => kind === "exit"),
  "a program was killed": ({ faults }) => faults.some(({ kind }) => kind === "kill"),
  "the daemon died while a pod was starting": ({ entries, faults }) =>
    lost(entries, "RunPodSandbox") && faults.some(({ kind }) => kind === "crash"),
  "the daemon died while a container was being created": ({ entries, faults }) =>
    lost(entries, "CreateContainer") && faults.some(({ kind }) => kind === "crash"),
  "the daemon died during a stop": ({ entries, faults }) =>
    lost(entries, "StopContainer") && faults.some(({ kind }) => kind === "crash"),
  "the daemon died during a pull": ({ entries, faults }) =>
    lost(entries, "PullImage") && faults.some(({ kind }) => kind === "crash"),
  "a client left": ({ entries }) =>
    entries.some(({ command, outcome }) => command.cancelMs !== undefined && outcome._tag === "Lost"),
  "two equal requests for a pod at once": ({ entries }) => overlapping(entries, "RunPodSandbox", "RunPodSandbox"),
  "a pod was removed twice at once": ({ entries }) => overlapping(entries, "RemovePodSandbox", "RemovePodSandbox"),
  "a container was created in a pod that was being stopped": ({ entries }) =>
    overlapping(entries, "CreateContainer", "StopPodSandbox"),
  "a container was created in a pod that was being removed": ({ entries }) =>
    overlapping(entries, "CreateContainer", "RemovePodSandbox"),
  "a container was started while it was being stopped": ({ entries }) =>
    overlapping(entries, "StartContainer", "StopContainer"),
  "a container was removed while it was being stopped": ({ entries }) =>
    overlapping(entries, "RemoveContainer", "StopContainer"),
  "two stops of a pod's containers at once": ({ entries }) => overlapping(entries, "StopContainer", "StopContainer"),
  "an exec during a stop": ({ entries }) => overlapping(entries, "ExecSync", "StopContainer"),
  "a process died by itself": ({ entries }) => entries.some(({ command }) => command.name === "KillProcess"),
  "a name was taken": ({ entries }) => refused(entries, "CreateContainer", "NameReserved"),
  "an image was in use": ({ entries }) => refused(entries, "RemoveImage", "ImageInUse"),
  "a pod was not ready for a container": ({ entries }) => refused(entries, "CreateContainer", "WrongState"),
  "a container was not to be started": ({ entries }) => refused(entries, "StartContainer", "WrongState"),
  "a release was tried again": ({ log }) => log.some((line) => line.includes("tried again"))
} satisfies Readonly<Record<string, (seen: Seen) => boolean>>

export type Sight = keyof typeof sights

export const sightsOf = (
  entries: ReadonlyArray<Entry>,
  faults: ReadonlyArray<Fault>,
  log: ReadonlyArray<string>
): ReadonlySet<Sight> => {
  const names = Object.keys(sights) as ReadonlyArray<Sight>
  return new Set(names.filter((name) => sights[name]({ entries, faults, log })))
}
