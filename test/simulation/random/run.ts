/**
 * One random run: bursts of commands against the real daemon in a simulated world, faults among its calls, the daemon
 * started again where it ended. Afterwards the histories must be what the contract allows, and the world must be empty.
 */
import { Cause, Exit, type Fiber, type Layer } from "effect"
import type { CallRecord, Fault } from "../../world/Calls.ts"
import { Daemon } from "../../world/Daemon.ts"
import { holdings, leftover, type Holdings } from "../../world/Leftovers.ts"
import type { World } from "../../world/World.ts"
import { makeDaemon } from "../support/daemon.ts"
import { Kubelet } from "../support/kubelet.ts"
import { makeHost, staysByDesign, whileRunning } from "../support/podWalk.ts"
import { imageName, request } from "./client.ts"
import { describeCommand, type Command, podSlots, type Plan, type RandomFault } from "./commands.ts"
import { canStrike, faultOf } from "./faults.ts"
import { type Entry, type Outcome, slotHistory } from "./history.ts"
import { linearize } from "./linearize.ts"
import { closure, keyOf, type SeenContainer, type SeenPod, type SlotState } from "./model.ts"
import { type Sight, sightsOf } from "./sights.ts"

export interface RandomResult {
  readonly failures: ReadonlyArray<string>
  readonly log: ReadonlyArray<string>
  readonly sights: ReadonlySet<Sight>
  readonly commands: number
  /** Histories whose search was given up. */
  readonly undecided: number
}

type DaemonServices = Layer.Success<ReturnType<ReturnType<typeof makeDaemon>>>

const seconds = 1_000_000
const startLimit = 600
const stopLimit = 5
/** Virtual seconds that a command may be in flight. */
const commandLimit = 600
const settleAt = [1, 10, 60, 300]
const roots = ["/var/lib", "/run", "/var/log"]

interface Flight {
  readonly entry: Entry
  readonly fiber: Fiber.Fiber<unknown, unknown>
  readonly sentUs: number
}

/** `plan.faults` with how many calls each still lets pass; it counts once its command is sent. */
interface ArmedFault {
  readonly fault: RandomFault
  left: number
}

export const runRandom = async (plan: Plan): Promise<RandomResult> => {
  const run = new RandomRun(plan)
  try {
    await run.whole()
  } catch (error) {
    run.failures.push(error instanceof Error ? (error.stack ?? error.message) : String(error))
  }
  return run.result()
}

class RandomRun {
  readonly failures: Array<string> = []
  private readonly plan: Plan
  private readonly world: World
  private readonly before: Holdings
  private readonly make = makeDaemon({ runtime: { default_runtime: "crun", cgroup_manager: "cgroupfs" } })
  private daemon: Daemon<DaemonServices> | undefined
  private flights: Array<Flight> = []
  private epoch: Array<Entry> = []
  private readonly all: Array<Entry> = []
  private initial: ReadonlyArray<SlotState> = Array.from({ length: podSlots }, () => undefined)
  private readonly podIds = new Map<number, string>()
  private readonly containerIds = new Map<string, string>()
  private armed: Array<ArmedFault> = []
  private readonly struck: Array<Fault> = []
  private order = 0
  private undecided = 0
  private epochs = 0
  /** The start of the machine that the current epoch belongs to. */
  private boot: number

  constructor(plan: Plan) {
    this.plan = plan
    this.world = makeHost({ seed: plan.seed })
    this.boot = this.world.boots
    this.before = holdings(this.world, roots)
    this.world.hooks = { cancel: () => {}, terminate: () => this.daemon?.terminate() }
    this.world.calls.draw = (call) => this.draw(call)
  }

  async whole(): Promise<void> {
    const { calls, engine } = this.world
    calls.armed = true
    await this.ensureDaemon()
    this.world.settle()
    for (const burst of this.plan.bursts) {
      if (this.all.length >= this.plan.enough) break
      await this.ensureDaemon()
      for (const command of burst.commands) this.send(command)
      await this.fly(engine.nowUs + burst.patienceMs * 1000)
    }
    this.world.calls.draw = undefined
    await this.fly(engine.nowUs + commandLimit * seconds)
    this.giveUp()
    await this.ensureDaemon()
    this.judge()
    await this.cleanUp()
  }

  result(): RandomResult {
    return {
      failures: this.failures,
      log: this.world.calls.log,
      sights: sightsOf(this.all, this.struck, this.world.calls.log),
      commands: this.all.length,
      undecided: this.undecided
    }
  }

  // Commands

  private send(command: Command): void {
    const { engine, calls } = this.world
    const podId = "pod" in command ? (this.podIds.get(command.pod) ?? "") : ""
    const containerId =
      "container" in command ? (this.containerIds.get(`${command.pod}/${command.container}`) ?? "") : ""
    // Nobody can name what nobody has been told of.
    if (podId === "" && "pod" in command && command.name !== "RunPodSandbox") return
    if (containerId === "" && "container" in command && command.name !== "CreateContainer") return
    const { daemon } = this
    if (daemon === undefined || !daemon.ready) return
    const entry: Entry = {
      command,
      podId,
      containerId: command.name === "CreateContainer" ? "" : containerId,
      sent: this.order++,
      answered: undefined,
      outcome: { _tag: "Lost" },
      troubled: false
    }
    for (const fault of this.plan.faults) {
      if (fault.command === this.all.length) this.armed.push({ fault, left: fault.calls })
    }
    this.epoch.push(entry)
    this.all.push(entry)
    calls.note(`>> ${entry.sent} ${describeCommand(command)} ${podId.slice(0, 6)} ${containerId.slice(0, 6)}`)
    if (command.name === "KillProcess") {
      this.killProcess(containerId)
      this.answer(entry, { _tag: "Answer", value: {} })
      return
    }
    const fiber = daemon.send(command.name, request(command, podId, containerId))
    this.flights.push({ entry, fiber, sentUs: engine.nowUs })
    if (command.cancelMs !== undefined) {
      engine.at(this.world.processes.init.owner, engine.nowUs + command.cancelMs * 1000, () => fiber.interruptUnsafe())
    }
  }

  /** The first process of the container, as the host's OOM killer or an administrator would. */
  private killProcess(containerId: string): void {
    const { processes, cgroupRoots } = this.world
    const [hierarchy = ""] = cgroupRoots.keys()
    for (const process of processes.all.values()) {
      if (process.exit === undefined && process.cgroups.get(hierarchy)?.path.includes(containerId) === true) {
        processes.signal(process, 9)
        return
      }
    }
  }

  /** Until all is answered, or the time has come, or the daemon has ended. */
  private async fly(untilUs: number): Promise<void> {
    const { engine } = this.world
    for (;;) {
      await engine.run(() => this.landed() || this.daemon?.ready !== true, untilUs)
      this.land()
      if (this.daemon?.ready !== true) {
        await this.ensureDaemon()
        if (engine.nowUs >= untilUs) return
        continue
      }
      if (this.flights.length === 0 || engine.nowUs >= untilUs) return
      // Something landed; the others fly on.
      if (!this.flights.some(({ fiber }) => fiber.pollUnsafe() !== undefined)) {
        const end = await engine.run(() => this.landed() || this.daemon?.ready !== true, untilUs)
        if (end !== "done") {
          this.land()
          return
        }
      }
    }
  }

  private get lostPower(): boolean {
    return this.world.boots !== this.boot
  }

  private landed(): boolean {
    return this.flights.some(({ fiber }) => fiber.pollUnsafe() !== undefined)
  }

  private land(): void {
    const flying: Array<Flight> = []
    for (const flight of this.flights) {
      const exit = flight.fiber.pollUnsafe()
      if (exit === undefined) flying.push(flight)
      else this.answer(flight.entry, outcomeOf(exit))
    }
    this.flights = flying
  }

  private answer(entry: Entry, outcome: Outcome | { readonly _tag: "Defect"; readonly text: string }): void {
    const { command } = entry
    if (outcome._tag === "Defect") {
      if (!entry.troubled) this.failures.push(`${command.name} died: ${outcome.text}`)
      this.world.calls.note(`<< ${entry.sent} defect`)
      return
    }
    this.world.calls.note(
      `<< ${entry.sent} ${outcome._tag === "Refusal" ? `${outcome.error} ${outcome.message}` : outcome._tag}`
    )
    entry.outcome = outcome
    if (outcome._tag === "Lost") return
    entry.answered = this.order++
    if (outcome._tag === "Answer") this.learn(command, outcome.value)
  }

  private learn(command: Command, value: Readonly<Record<string, unknown>>): void {
    if (command.name === "RunPodSandbox") this.podIds.set(command.pod, String(value["podSandboxId"]))
    if (command.name === "CreateContainer") {
      this.containerIds.set(`${command.pod}/${command.container}`, String(value["containerId"]))
    }
  }

  /** What has not been answered in its time hangs. */
  private giveUp(): void {
    for (const { entry, fiber } of this.flights) {
      this.failures.push(`${describeCommand(entry.command)} (sent as ${entry.sent}) hangs`)
      fiber.interruptUnsafe()
    }
    this.flights = []
  }

  // Faults

  private draw(call: CallRecord): Fault | undefined {
    for (const armed of this.armed) if (armed.left > 0) armed.left--
    const ready = this.armed.find(({ fault, left }) => left === 0 && canStrike(fault, call))
    if (ready === undefined) return undefined
    this.armed = this.armed.filter((armed) => armed !== ready)
    const fault = faultOf(ready.fault, call)
    this.struck.push(fault)
    // Whose call it is cannot be told: background work serves several commands.
    for (const { entry } of this.flights) entry.troubled = true
    return fault
  }

  // The daemon

  private async ensureDaemon(): Promise<void> {
    if (this.daemon?.ready === true) return
    if (this.daemon?.stopping === true) await this.stopDaemon()
    // Those whose daemon has gone get no answer.
    this.land()
    for (const { entry } of this.flights) entry.troubled = true
    this.flights = []
    for (let attempt = 1; attempt <= 4; attempt++) {
      const daemon = new Daemon<DaemonServices>(this.world)
      this.daemon = daemon
      const end = await daemon.start(this.make, startLimit)
      const ok = end._tag === "done" && Exit.isSuccess(end.exit) && daemon.ready
      this.world.calls.note(`== start: ${ok ? "ok" : end._tag}`)
      if (end._tag === "hung") this.failures.push(`the start hung: ${end.reason}`)
      if (ok) {
        if (this.lostPower) {
          this.judge()
          await this.beginEpoch()
        }
        if (daemon.ready && !this.lostPower) return
      }
      await this.stopDaemon()
    }
    throw new Error("the daemon did not start in 4 attempts")
  }

  private async stopDaemon(): Promise<void> {
    const complaint = await this.daemon?.stop(stopLimit)
    if (complaint !== undefined) this.failures.push(complaint)
  }

  /** After a loss of power nothing runs; what is there has to be looked at. */
  private async beginEpoch(): Promise<void> {
    const pods = await this.look("ListPodSandbox")
    const containers = await this.look("ListContainers")
    if (pods === undefined || containers === undefined) return
    this.boot = this.world.boots
    this.podIds.clear()
    this.containerIds.clear()
    this.initial = Array.from({ length: podSlots }, (_, slot) => {
      const pod = pods[`p${slot}`] as SeenPod | undefined
      if (pod === undefined) return undefined
      if (pod.ready) this.failures.push(`pod ${pod.id} is ready after a loss of power`)
      this.podIds.set(slot, pod.id)
      const of = (containers[`p${slot}`] ?? {}) as Readonly<Record<string, SeenContainer>>
      const models = Object.entries(of).map(([name, { id, state }]) => {
        if (state === "running") this.failures.push(`container ${id} runs after a loss of power`)
        this.containerIds.set(`${slot}/${name.slice(1)}`, id)
        return [name, { id, state, ending: true, leaving: true }] as const
      })
      return { id: pod.id, ready: false, stopping: true, leaving: true, containers: Object.fromEntries(models) }
    })
  }

  private async look(
    name: "ListPodSandbox" | "ListContainers"
  ): Promise<Readonly<Record<string, unknown>> | undefined> {
    const end = await (this.daemon as Daemon<DaemonServices>).use(name, request({ name }, "", ""), commandLimit)
    return end._tag === "done" && Exit.isSuccess(end.exit)
      ? (end.exit.value as Readonly<Record<string, unknown>>)
      : undefined
  }

  // Judgement

  /** Does an order explain what was seen since the machine was started? */
  private judge(): void {
    if (this.epoch.length === 0) return
    for (let slot = 0; slot < podSlots; slot++) {
      const { operations, complaints } = slotHistory(this.epoch, slot, this.epochs > 0)
      this.failures.push(...complaints)
      const verdict = linearize(this.initial[slot], operations, { closure, key: keyOf })
      if (verdict._tag === "Undecided") this.undecided++
      if (verdict._tag !== "Unexplained") continue
      this.failures.push(
        `no order of commands explains what was seen of pod p${slot}; the best one:\n    ${verdict.done.join("\n    ")}\n  does not go on with any of:\n    ${verdict.stuck.join("\n    ")}`
      )
    }
    this.epoch = []
    this.epochs++
  }

  private async cleanUp(): Promise<void> {
    const { calls, engine } = this.world
    calls.armed = false
    const kubelet = new Kubelet({ imageName, args: [] })
    const daemon = this.daemon as Daemon<DaemonServices>
    // As kubelet: again, while something from before is still being given back.
    let trouble: string | undefined
    for (let attempt = 0; attempt < 5; attempt++) {
      const end = await daemon.use("Cleanup", kubelet.cleanUp, commandLimit)
      trouble =
        end._tag === "done" ? (Exit.isSuccess(end.exit) ? undefined : Cause.pretty(end.exit.cause)) : `it ${end._tag}`
      calls.note(`== cleanup: ${trouble ?? "ok"}`)
      if (trouble === undefined) break
      await engine.run(() => false, engine.nowUs + 10 * seconds)
    }
    if (trouble !== undefined) this.failures.push(`clean-up failed: ${trouble}`)
    const cleaned = engine.nowUs
    let lines: ReadonlyArray<string> = []
    for (const second of settleAt) {
      await engine.run(() => false, cleaned + second * seconds)
      lines = this.leaked(true)
      if (lines.length === 0) break
    }
    if (lines.length > 0) this.failures.push(`left behind:\n  ${lines.join("\n  ")}`)
    await this.stopDaemon()
    const after = this.leaked(false).filter((line) => !lines.includes(line))
    if (after.length > 0) this.failures.push(`left behind by a daemon that was stopped:\n  ${after.join("\n  ")}`)
  }

  private leaked(running: boolean): ReadonlyArray<string> {
    const stays = [...staysByDesign, ...(running ? whileRunning : [])]
    return leftover(this.before, holdings(this.world, roots)).filter(
      (line) => !stays.some((pattern) => pattern.test(line))
    )
  }
}

const outcomeOf = (exit: Exit.Exit<unknown, unknown>): Outcome | { readonly _tag: "Defect"; readonly text: string } => {
  if (Exit.isSuccess(exit)) return { _tag: "Answer", value: (exit.value ?? {}) as Readonly<Record<string, unknown>> }
  if (Cause.hasDies(exit.cause)) return { _tag: "Defect", text: Cause.pretty(exit.cause) }
  if (Cause.hasInterruptsOnly(exit.cause)) return { _tag: "Lost" }
  const error = Cause.squash(exit.cause) as { readonly _tag?: string; readonly message?: string }
  return { _tag: "Refusal", error: error._tag ?? "Error", message: error.message ?? "" }
}
