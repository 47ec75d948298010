/** Clients of Exec that go away in the middle, or come twice. */
import * as fc from "fast-check"
import { Effect } from "effect"
import { daemonState } from "../HostState.ts"
import { eventually } from "../internal/eventually.ts"
import { execUrl, openCommand, runToEnd, transportOf } from "../internal/execStream.ts"
import { commandLine, processesOfContainer } from "../internal/ownProcesses.ts"
import { nameOf } from "../internal/requests.ts"
import { type ContainerModel, pick, runningContainers } from "../Model.ts"
import { answered, describe, numberOf, type Operation, valueOf } from "../Operation.ts"
import { channels } from "../StreamClient.ts"
import type { Target } from "../Target.ts"

const descriptorsOf = (target: Target) => Effect.map(daemonState(target), (state) => state?.descriptors)

/** Descriptors that a daemon may open meanwhile for something else. */
const otherDescriptors = 2

const abandonedProcesses = Effect.fnUntraced(function* (container: ContainerModel, marker: string) {
  const found: Array<string> = []
  for (const { pid } of yield* processesOfContainer(container.id)) {
    const line = yield* commandLine(pid)
    if (line.includes(marker)) found.push(`${line.trim()} (${pid})`)
  }
  return found
})

/** Commands that come to an end by themselves, though nobody reads what they write, and nobody is there to write. */
const abandoned = {
  writer: { script: `head -c ${8 << 20} /dev/zero`, stdin: undefined },
  reader: { script: "head -c 1; cat >/dev/null", stdin: "x" }
} as const
const kindsOfAbandoned = ["writer", "reader"] as const

const says = {
  reading: "",
  notReading: ", with output unread"
} as const

/** A runtime may end the command when its client goes, or let it come to its own end. */
const abort: Operation = {
  name: "ExecAbort",
  group: "streams",
  weight: 3,
  needs: ["exec"],
  alone: true,
  parameters: fc.record({
    container: fc.nat(15),
    kibibytes: fc.nat(300),
    reads: fc.nat(1),
    kind: fc.nat(2),
    spdy: fc.nat(1)
  }),
  prepare: (site, parameters) => {
    const { model, judge, target } = site
    const container = pick(runningContainers(model), numberOf(parameters, "container"))
    if (container === undefined) return undefined
    const { settle } = target.profile.limits
    const marker = `abandoned-${model.prefix}-${++model.count}`
    const kind = pick(kindsOfAbandoned, numberOf(parameters, "kind")) ?? "writer"
    const { script, stdin } = abandoned[kind]
    const enough = kind === "writer" ? numberOf(parameters, "kibibytes") << 10 : 0
    const manner = numberOf(parameters, "reads") === 1 ? "reading" : "notReading"
    const transport = transportOf(parameters)
    const label = `Exec${transport.says} of a ${kind} in ${nameOf(container)}, left after ${enough} bytes${says[manner]}`
    const shape = { cmd: ["sh", "-c", `${script}; : ${marker}`], ...(stdin === undefined ? {} : { stdin }) }
    const open = Effect.gen(function* () {
      const url = yield* execUrl(target, container.id, shape)
      const stream = yield* openCommand(target, "Exec", url, shape, transport)
      if (stdin !== undefined) yield* stream.send(channels.stdin, Buffer.from(stdin))
      yield* stream.until(() => stream.received(channels.stdout).length > enough)
      if (manner === "reading") return
      yield* stream.stopReading
      // Until the server has filled what lies between.
      yield* Effect.sleep(100)
    }).pipe(Effect.scoped)
    return {
      label,
      touches: () => [{ object: container }],
      mayTakeMs: (target.profile.limits.rpc + 2 * settle) * 1000,
      ask: Effect.gen(function* () {
        const before = yield* descriptorsOf(target)
        yield* open
        const look = Effect.all({
          processes: abandonedProcesses(container, marker),
          descriptors: descriptorsOf(target)
        })
        const bound = (before ?? 0) + otherDescriptors
        const after = yield* eventually(
          settle,
          look,
          ({ processes, descriptors }) => processes.length === 0 && (descriptors ?? 0) <= bound
        )
        return { before, ...after }
      }),
      compared: () => undefined,
      check: Effect.fnUntraced(function* (outcome) {
        if (!(yield* judge.hold(transport.rule, answered(outcome), () => `${label}: ${describe(outcome)}`))) return
        const { before, processes, descriptors } = valueOf<{
          readonly before: number | undefined
          readonly processes: ReadonlyArray<string>
          readonly descriptors: number | undefined
        }>(outcome)
        const lives = () => `${settle} s after ${label}: ${processes.join(", ")}`
        yield* judge.hold("stream.abort-leaves-nothing", processes.length === 0, lives)
        if (before === undefined || descriptors === undefined) return
        yield* judge.hold(
          "stream.abort-leaves-nothing",
          descriptors <= before + otherDescriptors,
          () => `${settle} s after ${label} the daemon has ${descriptors} descriptors; before ${before}`
        )
      })
    }
  }
}

const tokenTwice: Operation = {
  name: "TokenTwice",
  group: "streams",
  weight: 2,
  needs: ["exec"],
  parameters: fc.record({ container: fc.nat(15), together: fc.nat(1), spdy: fc.nat(1) }),
  prepare: (site, parameters) => {
    const { model, judge, target } = site
    const container = pick(runningContainers(model), numberOf(parameters, "container"))
    if (container === undefined) return undefined
    const together = numberOf(parameters, "together") === 1
    const shape = { cmd: ["echo", "once"] }
    const transport = transportOf(parameters)
    const label = `one address of Exec${transport.says} in ${nameOf(container)}, opened twice${together ? " at the same time" : ""}`
    return {
      label,
      touches: () => [{ object: container }],
      mayTakeMs: target.profile.limits.rpc * 2000,
      ask: Effect.gen(function* () {
        const url = yield* execUrl(target, container.id, shape)
        const open = runToEnd(target, url, shape, transport).pipe(
          Effect.match({ onFailure: (failure) => failure.code, onSuccess: ({ stdout }) => stdout })
        )
        const found = yield* Effect.all([open, open], { concurrency: together ? "unbounded" : 1 })
        // One that lost its server has said nothing.
        const lost = found.every((one) => one !== "once\n")
        return lost ? yield* runToEnd(target, url, shape, transport).pipe(Effect.as(found)) : found
      }),
      check: Effect.fnUntraced(function* (outcome, { contended }) {
        if (outcome._tag === "Unknown" || contended) return
        if (!(yield* judge.hold(transport.rule, answered(outcome), () => `${label}: ${describe(outcome)}`))) return
        const found = valueOf<ReadonlyArray<string>>(outcome)
        const opened = found.filter((one) => one === "once\n").length
        yield* judge.hold("stream.token-once", opened === 1, () => `${label}: ${JSON.stringify(found)}`)
      })
    }
  }
}

export const streamEndOperations: ReadonlyArray<Operation> = [abort, tokenTwice]
