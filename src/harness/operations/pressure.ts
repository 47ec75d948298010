/** What a container does to its host and to the runtime: as many processes as it may have, and some more. */
import * as fc from "fast-check"
import { Effect } from "effect"
import { Files } from "../../linux/Files.ts"
import { isGone } from "../../linux/LinuxError.ts"
import { cgroupMounts } from "../HostState.ts"
import { processesOfContainer } from "../internal/ownProcesses.ts"
import { nameOf } from "../internal/requests.ts"
import { type ContainerModel, containersOf, may, type PodModel, pick, runningContainers } from "../Model.ts"
import { answered, describe, numberOf, type Operation, type Outcome, type Site, valueOf } from "../Operation.ts"
import type { RpcFailure } from "../Cri.ts"
import type { ExecSyncResponse } from "../../gen/runtime/v1/api.ts"

/** Of the pod's cgroup, which kubelet limits so: wherever the pids controller is. */
const limitsOf = Effect.fnUntraced(function* ({ target }: Site, { config }: PodModel) {
  const files = yield* Files
  const parent = config.linux?.cgroupParent ?? ""
  const found: Array<string> = []
  for (const mount of yield* cgroupMounts(target)) {
    const path = target.seen(`${mount}${parent}/pids.max`)
    const isThere = yield* files.lstat(path).pipe(
      Effect.as(true),
      Effect.catchIf(isGone, () => Effect.succeed(false))
    )
    if (isThere) found.push(path)
  }
  return found
})

/** Above what runs. */
const room = 40
const storm = `i=0; while [ $i -lt ${4 * room} ]; do sleep 100000 >/dev/null 2>&1 </dev/null & i=$((i+1)); done`

/** Its shell ends when it can have no more processes, as it may in a pod at its limit. */
const startsProcesses = (container: ContainerModel): boolean =>
  (container.behaviour === "obeys" || container.behaviour === "writes") && may(container, "running")

interface Weathered {
  /** Processes of the container once it could have no more. */
  readonly processes: number
  /** ExecSync at the limit, and without it again. */
  readonly meanwhile: Outcome["_tag"]
  readonly afterwards: ExecSyncResponse
}

const forkStorm: Operation = {
  name: "ForkStorm",
  group: "processes",
  weight: 1,
  alone: true,
  parameters: fc.record({ container: fc.nat(15) }),
  prepare: (site, parameters) => {
    const { model, judge, target } = site
    const some = runningContainers(model).filter(({ pod }) => !containersOf(model, pod).some(startsProcesses))
    const container = pick(some, numberOf(parameters, "container"))
    if (container === undefined) return undefined
    const label = `processes up to the limit in ${nameOf(container)}`
    const seconds = 10
    const exec = (command: string) =>
      target.cri.call("execSync", {
        containerId: container.id,
        cmd: ["sh", "-c", command],
        timeout: BigInt(seconds)
      })
    const tagOf = (self: Effect.Effect<unknown, RpcFailure>) =>
      Effect.match(self, { onFailure: () => "Failed" as const, onSuccess: () => "Answered" as const })
    return {
      label,
      touches: () => [{ object: container }],
      mayTakeMs: 3 * seconds * 1000,
      compared: () => undefined,
      ask: Effect.gen(function* () {
        const files = yield* Files
        const limits = yield* limitsOf(site, container.pod)
        if (limits.length === 0) return undefined
        const set = (value: string) =>
          Effect.forEach(limits, (path) => files.writeExisting(path, value), { discard: true })
        const now = (yield* processesOfContainer(container.pod.id)).length
        yield* set(String(now + (yield* processesOfContainer(container.id)).length + room))
        const weathered = yield* Effect.gen(function* () {
          yield* tagOf(exec(storm))
          const processes = (yield* processesOfContainer(container.id)).length
          return { processes, meanwhile: yield* tagOf(exec("true")) }
        }).pipe(Effect.ensuring(Effect.ignore(set("max"))))
        return { ...weathered, afterwards: yield* exec("echo again") }
      }),
      check: Effect.fnUntraced(function* (outcome) {
        const says = () => `${label}: ${describe(outcome)}`
        if (!(yield* judge.hold("exec.pids", answered(outcome), says))) return
        const weathered = valueOf<Weathered | undefined>(outcome)
        if (weathered === undefined) return
        const text = Buffer.from(weathered.afterwards.stdout).toString("latin1")
        yield* judge.hold(
          "exec.pids",
          weathered.processes > 1 && text === "again\n",
          () => `${label}: ${weathered.processes} processes; ExecSync without the limit gave ${JSON.stringify(text)}`
        )
      })
    }
  }
}

export const pressureOperations: ReadonlyArray<Operation> = [forkStorm]
