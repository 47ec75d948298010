/** Runs the steps of one scenario on a target, holds each answer against the rules, cleans up, and compares the host. */
import { Clock, Effect, Fiber, Option } from "effect"
import type { LinuxError } from "../linux/LinuxError.ts"
import { RpcFailure } from "./Cri.ts"
import { type TargetError, Violation } from "./HarnessError.ts"
import {
  containerAfter,
  type ContainerModel,
  type Event,
  liveContainers,
  livePods,
  podAfter,
  type PodModel
} from "./Model.ts"
import {
  answered,
  type Operation,
  type Outcome,
  type Prepared,
  type Services,
  type Site,
  type Surroundings,
  valueOf
} from "./Operation.ts"
import type { Step } from "./Scenario.ts"
import { awaitEnds } from "./internal/ends.ts"
import { checkInvariants } from "./internal/invariants.ts"
import { observe } from "./internal/observe.ts"
import { nameOf } from "./internal/requests.ts"

/** A line of the log of commands. */
export interface Entry {
  readonly step: number
  /** Milliseconds since the epoch. */
  readonly atMs: number
  readonly label: string
  readonly outcome: Outcome
  /** What of the answer is compared with another target's. */
  readonly compared: unknown
}

export interface Execution {
  readonly log: Array<Entry>
  /** Steps that had an object, by number. */
  readonly done: Set<number>
  /** What the target showed after each of these. */
  readonly states: Map<number, ReadonlyArray<string>>
  /** Rules that were broken in each of these, without ending the run. */
  readonly broken: Map<number, ReadonlyArray<string>>
  kills: number
}

export const makeExecution = (): Execution => ({
  log: [],
  done: new Set(),
  states: new Map(),
  broken: new Map(),
  kills: 0
})

/** One line for each object that is there. */
const shown = ({ model }: Site): ReadonlyArray<string> => [
  ...livePods(model).map((pod) => `${nameOf(pod)} ${[...pod.states].join(" or ")}`),
  ...liveContainers(model).map((container) => {
    const { exit, states } = container
    const ended = exit === undefined || !states.has("exited") ? "" : ` with ${exit.code} ${exit.reason}`
    return `${nameOf(container)} ${[...states].join(" or ")}${ended}`
  })
]

type Failure = Violation | RpcFailure | LinuxError | TargetError

interface Asked {
  readonly prepared: Prepared
  readonly outcome: Outcome
  readonly twin: boolean
}

/** Asks and never fails; what is not an RPC's failure is the harness's own and goes on. */
const outcomeOf = Effect.fnUntraced(function* (
  ask: Prepared["ask"],
  lost: () => boolean
): Effect.fn.Return<Outcome, LinuxError | TargetError, Services> {
  const begun = yield* Clock.monotonicTimeNanos
  const took = Effect.map(Clock.monotonicTimeNanos, (now) => Number((now - begun) / 1_000_000n))
  return yield* ask.pipe(
    Effect.flatMap((value) => Effect.map(took, (tookMs): Outcome => ({ _tag: "Answered", value, tookMs }))),
    Effect.catchTag("RpcFailure", ({ code, details }) =>
      Effect.map(took, (tookMs): Outcome =>
        lost() ? { _tag: "Unknown", tookMs } : { _tag: "Failed", code, details, tookMs }
      )
    )
  )
})

const resultOf = (outcome: Outcome): Event["result"] =>
  outcome._tag === "Answered" ? "done" : outcome._tag === "Failed" ? "failed" : "unknown"

const isContainer = (object: PodModel | ContainerModel): object is ContainerModel => "pod" in object

/** The states of everything that was touched, by all that touched it. */
const applyEvents = (asked: ReadonlyArray<Asked>) => {
  const events = new Map<PodModel | ContainerModel, Array<Event>>()
  for (const { prepared, outcome } of asked) {
    for (const { object, act } of prepared.touches()) {
      if (act === undefined) continue
      const list = events.get(object) ?? []
      list.push({ act, result: resultOf(outcome) })
      events.set(object, list)
    }
  }
  for (const [object, list] of events) {
    if (isContainer(object)) object.states = containerAfter(object.states, list, object.mayEnd)
    else object.states = podAfter(object.states, list)
  }
}

/** Whether another one changes what this one touches, or it changes what another one touches. */
const isContended = (one: Asked, all: ReadonlyArray<Asked>): boolean =>
  all.some(
    (other) =>
      other.prepared !== one.prepared &&
      one.prepared
        .touches()
        .some(({ object, act }) =>
          other.prepared.touches().some((touch) => touch.object === object && (touch.act ?? act) !== undefined)
        )
  )

/** Rules that every answer is held to, whatever was asked. */
const checkAnswer = Effect.fnUntraced(function* ({ judge, target }: Site, { prepared, outcome }: Asked) {
  if (outcome._tag === "Unknown") return
  const limit = target.profile.limits.rpc * 1000 + (prepared.mayTakeMs ?? 0)
  yield* judge.hold(
    "rpc.deadline",
    outcome.tookMs < limit,
    () => `${prepared.label} was not answered in ${Math.round(limit / 1000)} s`
  )
  yield* judge.hold(
    "rpc.internal",
    outcome._tag !== "Failed" || outcome.code !== "INTERNAL",
    () => `${prepared.label} failed with INTERNAL: ${outcome._tag === "Failed" ? outcome.details : ""}`
  )
})

const judgeAll = Effect.fnUntraced(function* (site: Site, asked: ReadonlyArray<Asked>, retried: boolean) {
  applyEvents(asked)
  for (const one of asked) {
    yield* checkAnswer(site, one)
    const surroundings: Surroundings = { contended: isContended(one, asked), twin: one.twin, retried }
    yield* one.prepared.check(one.outcome, surroundings)
  }
})

const restart = Effect.fnUntraced(function* (site: Site, how: "kill" | "terminate") {
  const { judge, model, target } = site
  const { inTime } = yield* target.end(how)
  if (how === "terminate") yield* judge.hold("daemon.end", inTime, () => "the daemon lived 10 s after SIGTERM")
  yield* target.start.pipe(
    Effect.matchEffect({
      onSuccess: () => judge.hold("daemon.ready", true, () => ""),
      onFailure: ({ message }) => judge.hold("daemon.ready", false, () => message)
    })
  )
  for (const object of [...model.pods, ...model.containers]) object.because = "daemon.survive"
})

/** kubelet asks again for what was not answered; nothing else runs meanwhile. */
const retryLost = Effect.fnUntraced(function* (
  site: Site,
  asked: ReadonlyArray<Asked>,
  log: (one: Asked) => Effect.Effect<void>
) {
  for (const { prepared, outcome, twin } of asked) {
    if (outcome._tag !== "Unknown" || prepared.retry === undefined || twin) continue
    const again: Asked = { prepared, outcome: yield* outcomeOf(prepared.retry, () => false), twin: false }
    yield* log(again)
    yield* judgeAll(site, [again], true)
  }
})

/** The daemon may have ended by itself. */
const checkAlive = Effect.fnUntraced(function* ({ judge, target }: Site) {
  if (!target.canKill) return
  yield* judge.hold(
    "daemon.alive",
    yield* target.isAlive,
    () => `the daemon has ended by itself; its log is ${target.log}`
  )
})

const prepareStep = (site: Site, operations: ReadonlyMap<string, Operation>, step: Step) => {
  const several = step.calls.length > 1 || step.twin === true || step.interruption !== undefined
  return step.calls.flatMap((call) => {
    const operation = operations.get(call.operation)
    if (operation === undefined || (several && operation.alone === true)) return []
    return operation.prepare(site, call.parameters) ?? []
  })
}

const runStep = Effect.fnUntraced(function* (
  site: Site,
  operations: ReadonlyMap<string, Operation>,
  step: Step,
  number: number,
  execution: Execution
): Effect.fn.Return<void, Failure, Services> {
  const { target } = site
  const prepared = prepareStep(site, operations, step)
  const kind = step.interruption?.kind
  const ends = (kind === "kill" || kind === "terminate") && target.canKill ? kind : undefined
  if (prepared.length === 0 && ends === undefined) return
  execution.done.add(number)
  const log = Effect.fnUntraced(function* (one: Asked) {
    const atMs = (yield* Clock.currentTimeMillis) - one.outcome.tookMs
    const { prepared, outcome } = one
    const value = answered(outcome) ? valueOf<unknown>(outcome) : undefined
    const compared = prepared.compared === undefined ? value : prepared.compared(value)
    execution.log.push({ step: number, atMs, label: prepared.label, outcome, compared })
  })

  let ending = false
  const afterMs = step.interruption?.afterMs ?? 0
  const askOne = (one: Prepared) => {
    const ask = outcomeOf(one.ask, () => ending)
    if (kind !== "cancel") return ask
    return Effect.timeoutOption(ask, afterMs).pipe(
      Effect.map(Option.getOrElse((): Outcome => ({ _tag: "Unknown", tookMs: afterMs })))
    )
  }
  const twins = step.twin === true && prepared[0] !== undefined ? [prepared[0], ...prepared] : prepared
  const fiber = yield* Effect.forkChild(Effect.forEach(twins, askOne, { concurrency: "unbounded" }), {
    startImmediately: true
  })
  if (kind === "cancel") site.judge.happened("cancel")
  if (ends !== undefined) {
    yield* Effect.sleep(afterMs)
    site.judge.happened("end")
    if (ends === "kill") site.judge.happened("kill")
    ending = true
    execution.kills++
    yield* restart(site, ends)
    execution.log.push({
      step: number,
      atMs: yield* Clock.currentTimeMillis,
      label: ends === "kill" ? "the daemon is killed and started again" : "the daemon is stopped and started again",
      outcome: { _tag: "Answered", value: undefined, tookMs: 0 },
      compared: undefined
    })
  }
  const outcomes = yield* Fiber.join(fiber)
  const asked = outcomes.flatMap((outcome, index): ReadonlyArray<Asked> => {
    const one = twins[index]
    return one === undefined ? [] : [{ prepared: one, outcome, twin: step.twin === true }]
  })
  for (const one of asked) yield* log(one)
  yield* judgeAll(site, asked, false)
  yield* retryLost(site, asked, log)
  yield* checkAlive(site)
  if (site.patient) yield* awaitEnds(site)
  yield* observe(site)
  yield* checkInvariants(site, "step")
  execution.states.set(number, shown(site))
  execution.broken.set(number, site.judge.takeBroken())
})

export const execute = Effect.fn("execute")(function* (
  site: Site,
  operations: ReadonlyMap<string, Operation>,
  steps: ReadonlyArray<Step>,
  execution: Execution
): Effect.fn.Return<void, Failure, Services> {
  for (const [number, step] of steps.entries()) yield* runStep(site, operations, step, number, execution)
})
