/** The machine's own doings: a container's process is killed, and so is the process that watches over it. */
import * as fc from "fast-check"
import { Effect, Option } from "effect"
import { ContainerState, VersionRequest } from "../../gen/runtime/v1/api.ts"
import { Processes } from "../../linux/Processes.ts"
import { SIGHUP, SIGKILL } from "../../model/Signal.ts"
import { message } from "../Cri.ts"
import { eventually } from "../internal/eventually.ts"
import { processesNaming, processesOfContainer } from "../internal/ownProcesses.ts"
import { containerStatusOf, nameOf } from "../internal/requests.ts"
import { addCode, type ContainerModel, containersOf, pick, runningContainers } from "../Model.ts"
import { answered, describe, numberOf, type Operation, type Parameters, type Site } from "../Operation.ts"

const onContainer = fc.record({ container: fc.nat(15) })

const running = (site: Site, parameters: Parameters) =>
  pick(runningContainers(site.model), numberOf(parameters, "container"))

const killInit: Operation = {
  name: "KillInit",
  group: "processes",
  weight: 4,
  alone: true,
  parameters: onContainer,
  prepare: (site, parameters) => {
    const { judge, target } = site
    const container = running(site, parameters)
    if (container === undefined) return undefined
    return {
      label: `SIGKILL to the process of ${nameOf(container)}`,
      touches: () => [{ object: container, act: "killed" }],
      ask: Effect.gen(function* () {
        addCode(container, 128 + SIGKILL)
        const [init] = yield* processesOfContainer(container.id)
        if (init !== undefined) yield* (yield* Processes).signal(init, SIGKILL)
      }),
      check: Effect.fnUntraced(function* () {
        const { settle } = target.profile.limits
        const status = yield* eventually(
          settle,
          containerStatusOf(target.cri, container.id),
          ({ status }) => status?.state === ContainerState.CONTAINER_EXITED
        )
        container.because = "container.exit.noticed"
        yield* judge.hold(
          "container.exit.noticed",
          status.status?.state === ContainerState.CONTAINER_EXITED,
          () => `${nameOf(container)} is not EXITED ${settle} s after its process was killed`
        )
      })
    }
  }
}

/** The container may live on or not; it can be stopped and removed all the same. */
const loseMonitor = (container: ContainerModel) => {
  container.mayEnd = true
  container.codes = undefined
  container.logs = undefined
}

const killMonitor: Operation = {
  name: "KillMonitor",
  group: "processes",
  weight: 2,
  alone: true,
  parameters: onContainer,
  prepare: (site, parameters) => {
    const { model, target } = site
    const { monitor } = target.profile
    const container = running(site, parameters)
    if (container === undefined || monitor === undefined) return undefined
    const { pod } = container
    return {
      label: `SIGKILL to the ${monitor.program} of ${nameOf(container)}`,
      touches: () => [{ object: container }],
      ask: Effect.gen(function* () {
        const processes = yield* Processes
        const id = monitor.scope === "container" ? container.id : pod.id
        for (const process of yield* processesNaming(monitor.program, id)) yield* processes.signal(process, SIGKILL)
        for (const one of monitor.scope === "container" ? [container] : containersOf(model, pod)) loseMonitor(one)
        if (monitor.scope === "pod") pod.mayEnd = true
      }),
      check: () => Effect.void
    }
  }
}

/** Daemons that read their settings again at SIGHUP say so by the capability "reload"; it ends others. */
const reload: Operation = {
  name: "Hup",
  group: "processes",
  weight: 1,
  parameters: fc.constant({}),
  prepare: ({ judge, target }) => {
    if (!target.profile.capabilities.includes("reload")) return undefined
    return {
      label: "SIGHUP to the daemon",
      touches: () => [],
      ask: Effect.gen(function* () {
        const daemon = yield* target.daemon
        if (Option.isSome(daemon)) yield* (yield* Processes).signal(daemon.value, SIGHUP)
        return yield* target.cri.call("version", message(VersionRequest))
      }),
      compared: () => undefined,
      check: (outcome) =>
        outcome._tag === "Unknown"
          ? Effect.void
          : judge.hold("daemon.reload", answered(outcome), () => `after SIGHUP Version: ${describe(outcome)}`)
    }
  }
}

export const processOperations: ReadonlyArray<Operation> = [killInit, killMonitor, reload]
