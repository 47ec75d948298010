/** Commands in running containers: to the end (ExecSync), or with their streams in a client's hands (Exec). */
import { Effect } from "effect"
import { Cgroups } from "../cgroup/Cgroups.ts"
import { Files } from "../linux/Files.ts"
import type { TerminalSize } from "../linux/Terminal.ts"
import { generateId } from "../model/Id.ts"
import { decodeProcess, type Process } from "../model/RuntimeSpec.ts"
import { OciRuntime } from "../oci/OciRuntime.ts"
import { type RuntimeHandler, RuntimeHandlers } from "../oci/RuntimeHandlers.ts"
import { execProcess } from "../oci/spec/execProcess.ts"
import { orFail } from "../oci/spec/fault.ts"
import type { ContainerRecord } from "./ContainerRecord.ts"
import { isRunning } from "./ContainerState.ts"
import { Jobs } from "./Jobs.ts"
import { findContainer } from "./lookup.ts"
import { WrongState } from "./PodError.ts"

export interface ContainerCommand {
  /** Or the beginning of it. */
  readonly containerId: string
  readonly command: ReadonlyArray<string>
}

export interface TerminalCommand extends ContainerCommand {
  readonly terminal: boolean
  readonly stdin: boolean
  /** Of the terminal from its start; `resize` may come too late for a command's first look at it. */
  readonly size?: TerminalSize
}

/** The container, if a command can be started in it: it runs, or is in the grace period of its stop. */
export const checkRunning = Effect.fn("checkRunning")(function* (containerId: string) {
  const container = yield* findContainer(containerId)
  const { id, state } = container
  // Also while it is being stopped: probes and hooks run during the grace period.
  if (isRunning(state)) return container
  const reason = state._tag === "Stopping" ? "it is stopped before it was started" : `it is ${state._tag}`
  return yield* new WrongState({ object: `container ${id}`, action: "exec in", reason })
})

/** By record: a container's specification never changes, and reading it takes longer than all else of an exec. */
const processes = new WeakMap<ContainerRecord, Process>()

const processOf = Effect.fnUntraced(function* (container: ContainerRecord) {
  const known = processes.get(container)
  if (known !== undefined) return known
  const { id, bundle } = container
  const text = yield* (yield* Files).readText(`${bundle}/config.json`)
  const process = yield* Effect.fromResult(decodeProcess(text)).pipe(
    Effect.mapError(({ message }) => {
      const reason = `its specification ${bundle}/config.json cannot be read: ${message}`
      return new WrongState({ object: `container ${id}`, action: "exec in", reason })
    })
  )
  processes.set(container, process)
  return process
})

/** The container's own process with another command. */
const planExec = Effect.fnUntraced(function* (
  record: ContainerRecord,
  request: Pick<TerminalCommand, "command" | "terminal" | "size">
) {
  const container = yield* processOf(record)
  const execId = yield* generateId
  const handler = yield* (yield* RuntimeHandlers).get(record.handler, record.platform)
  const pinnedTo = handler.options.exec_cpu_affinity === "first" ? record.limits?.cpusetCpus : undefined
  const process = yield* orFail(record.id, execProcess({ ...request, container, execId, pinnedTo }))
  return { handler, process, execId }
})

/** Where the runtime, which watches over the command as conmon does with CRI-O, is to run: as a rule beside the daemon. */
const placement = Effect.fnUntraced(function* ({ state }: ContainerRecord, { options }: RuntimeHandler) {
  if (options.monitor_exec_cgroup === "" || !("pid" in state)) return {}
  const { pid } = state
  const cgroups = yield* Cgroups
  return { placed: (runtime: number) => cgroups.follow(runtime, pid) }
})

const nameOf = ({ command }: ContainerCommand, id: string) => `exec ${JSON.stringify(command[0])} in container ${id}`

/** `timeout` in seconds, 0 for none. What the command has started is gone when the timeout or an interruption ends it. */
export const execSyncInContainer = Effect.fn("execSyncInContainer")(function* (
  request: ContainerCommand & { readonly timeout: number }
) {
  const runtime = yield* OciRuntime
  const jobs = yield* Jobs
  const container = yield* checkRunning(request.containerId)
  const { handler, process, execId } = yield* planExec(container, { command: request.command, terminal: false })
  const placed = yield* placement(container, handler)
  return yield* runtime
    .execSync(handler, container.id, { process, execId, timeout: request.timeout, ...placed })
    .pipe(jobs.waiting(nameOf(request, container.id)))
})

/**
 * Starts a command; closing the scope kills all that it has started and that still runs. A stop of the container lets it
 * run on until the container's first process ends.
 */
export const execInContainer = Effect.fn("execInContainer")(function* (request: TerminalCommand) {
  const runtime = yield* OciRuntime
  const container = yield* checkRunning(request.containerId)
  const { handler, process, execId } = yield* planExec(container, request)
  const { kill: _, ...running } = yield* runtime.exec(handler, container.id, { process, execId, stdin: request.stdin })
  return running
})
