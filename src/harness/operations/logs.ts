/** Container logs: complete, in order, and reopened as kubelet rotates them. */
import * as fc from "fast-check"
import { Effect } from "effect"
import { Files } from "../../linux/Files.ts"
import { isGone, type LinuxError } from "../../linux/LinuxError.ts"
import type { Violation } from "../HarnessError.ts"
import { eventually } from "../internal/eventually.ts"
import { nameOf } from "../internal/requests.ts"
import { type ContainerModel, is, liveContainers, may, pick } from "../Model.ts"
import { answered, describe, numberOf, type Operation, type Site } from "../Operation.ts"

const linePattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d) (?:stdout|stderr) [PF](?::\S*)? (.*)$/

/** Its files one after the other, without what is still being written. */
const readLines = Effect.fnUntraced(function* (site: Site, logs: ReadonlyArray<string>) {
  const files = yield* Files
  const texts = yield* Effect.forEach(logs, (path) =>
    files.readText(site.target.seen(path)).pipe(Effect.catchIf(isGone, () => Effect.succeed("")))
  )
  return texts.flatMap((text) => text.split("\n").slice(0, -1))
})

/** Every line so far is there, once, in order. */
export const checkLog: (site: Site, container: ContainerModel) => Effect.Effect<void, Violation | LinuxError, Files> =
  Effect.fnUntraced(function* (site, container) {
    const { logs, behaviour } = container
    if (logs === undefined) return
    const lines = yield* readLines(site, logs)
    const strange = lines.find((line) => !linePattern.test(line))
    yield* site.judge.hold(
      "log.format",
      strange === undefined,
      () => `the log of ${nameOf(container)} has ${JSON.stringify(strange)}`
    )
    if (behaviour !== "writes") return
    const wrong = lines.findIndex((line, index) => linePattern.exec(line)?.[1] !== `line ${index + 1}`)
    yield* site.judge.hold(
      "log.complete",
      wrong === -1,
      () => `line ${wrong + 1} of ${lines.length} in ${logs.join(", ")} is ${JSON.stringify(lines[wrong])}`
    )
  })

const onContainer = fc.record({ container: fc.nat(15) })

const check: Operation = {
  name: "CheckLog",
  group: "logs",
  weight: 2,
  parameters: onContainer,
  prepare: (site, parameters) => {
    const started = liveContainers(site.model).filter((one) => one.logs !== undefined && one.startedAt > 0n)
    const container = pick(started, numberOf(parameters, "container"))
    if (container === undefined) return undefined
    return {
      label: `the log of ${nameOf(container)}`,
      touches: () => [{ object: container }],
      ask: Effect.void,
      check: () => checkLog(site, container)
    }
  }
}

const reopen: Operation = {
  name: "ReopenLog",
  group: "logs",
  weight: 3,
  alone: true,
  parameters: onContainer,
  prepare: (site, parameters) => {
    const { judge, model, target } = site
    const some = liveContainers(model).filter(
      (one) => one.logs !== undefined && !one.mayEnd && !one.pod.mayEnd && (is(one, "running") || is(one, "exited"))
    )
    const container = pick(some, numberOf(parameters, "container"))
    if (container === undefined) return undefined
    const { logs = [] } = container
    const path = logs.at(-1) ?? ""
    const rotated = `${path}.${logs.length}`
    return {
      label: `ReopenContainerLog ${nameOf(container)}`,
      touches: () => [{ object: container }],
      ask: Effect.gen(function* () {
        const files = yield* Files
        const moved = yield* files.rename(target.seen(path), target.seen(rotated)).pipe(
          Effect.as(true),
          Effect.catchIf(isGone, () => Effect.succeed(false))
        )
        if (moved) container.logs = [...logs.slice(0, -1), rotated, path]
        return yield* target.cri.call("reopenContainerLog", { containerId: container.id })
      }),
      check: Effect.fnUntraced(function* (outcome) {
        if (outcome._tag === "Unknown") return
        const files = yield* Files
        const says = () => `ReopenContainerLog ${nameOf(container)}: ${describe(outcome)}`
        const isThere = files.lstat(target.seen(path)).pipe(
          Effect.as(true),
          Effect.catchIf(isGone, () => Effect.succeed(false))
        )
        if (may(container, "running")) {
          if (!(yield* judge.hold("log.reopen", answered(outcome), says))) return
          const made = yield* eventually(target.profile.limits.settle, isThere, (there) => there)
          yield* judge.hold("log.reopen", made, () => `after ReopenContainerLog there is no ${path}`)
          return
        }
        yield* judge.hold("log.reopen.refused", !answered(outcome), says)
        yield* judge.hold("log.reopen.refused", !(yield* isThere), () => `a refused ReopenContainerLog made ${path}`)
      })
    }
  }
}

export const logOperations: ReadonlyArray<Operation> = [check, reopen]
