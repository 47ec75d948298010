/**
 * Runs scenarios against a daemon in a simulated world, with one planned fault or none: after the fault the daemon is
 * started again where it died, the client cleans up as kubelet would, and the world must hold nothing that it did not
 * hold before.
 */
import { Cause, Exit, type Effect } from "effect"
import { createHash } from "node:crypto"
import { describeFault, type CallRecord, type FaultPlan } from "./Calls.ts"
import { Daemon, type DaemonLayer, type End } from "./Daemon.ts"
import { holdings, leftover, type Holdings } from "./Leftovers.ts"
import type { World } from "./World.ts"

export interface ScenarioStep<S> {
  /** The command's name, an RPC: calls are counted by it. */
  readonly name: string
  readonly run: Effect.Effect<unknown, unknown, S>
  /** What the client does after a failure, as kubelet's next sync would; default `run` again. */
  readonly retry?: Effect.Effect<unknown, unknown, S>
}

/** A scenario may keep state between its steps (ids): each run gets a fresh one. */
export interface Scenario<S> {
  /** A host with everything installed that the daemon needs. */
  readonly world: (seed: number | undefined) => World
  readonly daemon: DaemonLayer<S>
  readonly steps: ReadonlyArray<ScenarioStep<S>>
  /** What kubelet would do until nothing of the scenario is left; fails when something cannot be removed or is still listed. */
  readonly cleanup: Effect.Effect<unknown, unknown, S>
  /** Directories whose files must be as before. */
  readonly roots: ReadonlyArray<string>
  /** Things that stay by design (a bridge, empty chains, caches), and those that a running daemon has for itself. */
  readonly ignore?: (line: string, running: boolean) => boolean
}

export interface RunOptions {
  readonly plan?: FaultPlan
  /** Order of tasks and pre-emption; without it tasks run in the order in which they came. */
  readonly seed?: number
  /** After the fault: clean up at once, or do the failed step again and go on (kubelet's retry). Default "retry". */
  readonly after?: "cleanup" | "retry"
  /** What a run without faults leaves behind, which is therefore no leak. */
  readonly accepted?: Holdings
  /** Records tell what a power loss would leave. */
  readonly watchesDisk?: boolean
}

export interface RunResult {
  readonly failures: ReadonlyArray<string>
  readonly records: ReadonlyArray<CallRecord>
  /** The call that the fault hit. */
  readonly struck: CallRecord | undefined
  readonly log: ReadonlyArray<string>
  /** What is there at the end. */
  readonly held: Holdings
  /** Scheduler tasks run. */
  readonly tasks: number
  /** Virtual milliseconds. */
  readonly durationMs: number
}

/** Virtual seconds that a command or a start may take. */
const stepLimit = 600
const stopLimit = 5
/** Virtual seconds after the clean-up at which the world is looked at: releases that failed are retried meanwhile. */
const settleAt = [1, 10, 60, 300]
const startAttempts = 3
const retryAttempts = 5
/** Virtual seconds between a client's attempts. */
const retryPause = 10

export const logHash = (log: ReadonlyArray<string>): string => createHash("sha256").update(log.join("\n")).digest("hex")

export const runScenario = async <S>(make: () => Scenario<S>, options: RunOptions = {}): Promise<RunResult> => {
  const run = new Run(make(), options)
  try {
    await run.whole()
  } catch (error) {
    run.fail(error instanceof Error ? (error.stack ?? error.message) : String(error))
  }
  return run.result()
}

class Run<S> {
  private readonly scenario: Scenario<S>
  private readonly options: RunOptions
  private readonly world: World
  private readonly failures: Array<string> = []
  private readonly before: Holdings
  private readonly beganUs: number
  private daemon: Daemon<S> | undefined
  private startFailed = false

  constructor(scenario: Scenario<S>, options: RunOptions) {
    this.scenario = scenario
    this.options = options
    this.world = scenario.world(options.seed)
    this.before = holdings(this.world, scenario.roots)
    this.beganUs = this.world.engine.nowUs
    const { calls } = this.world
    calls.plan = options.plan
    calls.watchesDisk = options.watchesDisk === true
    this.world.hooks = { cancel: () => this.daemon?.cancel(), terminate: () => this.daemon?.terminate() }
  }

  fail(text: string): void {
    this.failures.push(text)
  }

  async whole(): Promise<void> {
    const { calls, engine } = this.world
    calls.armed = true
    const started = await this.ensureDaemon()
    // The daemon has been running for a while: what its start wrote, directories above all, has reached the disk.
    this.world.settle()
    if (started) await this.steps()
    calls.armed = false
    // A client that gives up cleans up at its next turn: what is finished behind its back is listed by then.
    if (this.options.after === "cleanup") await engine.run(() => false, engine.nowUs + retryPause * 1_000_000)
    if (await this.ensureDaemon()) await this.cleanUp()
    await this.lookAround()
  }

  result(): RunResult {
    const { calls, engine } = this.world
    const { plan } = this.options
    if (plan !== undefined && calls.struck === undefined)
      this.fail("the fault never struck: the run is not deterministic")
    return {
      failures: this.failures,
      records: calls.records,
      struck: calls.struck,
      log: calls.log,
      held: holdings(this.world, this.scenario.roots),
      tasks: engine.tasks,
      durationMs: Math.floor((engine.nowUs - this.beganUs) / 1000)
    }
  }

  private async steps(): Promise<void> {
    for (const step of this.scenario.steps) {
      if (!(await this.ensureDaemon())) return
      if (await this.attempt(step.name, step.run, true)) continue
      if ((this.options.after ?? "retry") === "cleanup" || !(await this.retry(step))) return
    }
  }

  /** As kubelet: again and again with a pause, because the daemon may still be giving back what a failure left. */
  private async retry(step: ScenarioStep<S>): Promise<boolean> {
    const { engine } = this.world
    for (let attempt = 1; attempt <= retryAttempts; attempt++) {
      if (!(await this.ensureDaemon())) return false
      if (await this.attempt(step.name, step.retry ?? step.run, attempt < retryAttempts)) return true
      await engine.run(() => false, engine.nowUs + retryPause * 1_000_000)
    }
    return false
  }

  /** One failed step is owed to the fault; every other is the daemon's. */
  private async attempt(name: string, run: Effect.Effect<unknown, unknown, S>, tolerated: boolean): Promise<boolean> {
    const end = await (this.daemon as Daemon<S>).use(name, run, stepLimit)
    const trouble = describeEnd(end)
    this.world.calls.note(`== ${name}: ${trouble ?? "ok"}`)
    if (end._tag === "hung") this.fail(`${name} hung: ${end.reason}`)
    if (end._tag === "done" && Exit.isFailure(end.exit) && Cause.hasDies(end.exit.cause)) {
      this.fail(`${name} died: ${Cause.pretty(end.exit.cause)}`)
    }
    if (trouble === undefined) return true
    if (this.world.calls.struck === undefined || !tolerated) this.fail(`${name} failed: ${trouble}`)
    return false
  }

  /** The daemon runs and is ready; where it ended it is started again, as systemd does. */
  private async ensureDaemon(): Promise<boolean> {
    if (this.daemon?.stopping === true) await this.stopDaemon()
    if (this.daemon?.ready === true) return true
    for (let attempt = 1; attempt <= startAttempts; attempt++) {
      const daemon = new Daemon<S>(this.world)
      this.daemon = daemon
      const end = await daemon.start(this.scenario.daemon, stepLimit)
      const trouble = describeEnd(end)
      this.world.calls.note(`== start: ${trouble ?? "ok"}`)
      if (trouble === undefined && daemon.ready) return true
      if (end._tag === "hung") this.fail(`the start hung: ${end.reason}`)
      else if (trouble !== undefined && (this.world.calls.struck === undefined || this.startFailed)) {
        this.fail(`the daemon does not start: ${trouble}`)
      }
      // One failed start is owed to the fault.
      if (trouble !== undefined) this.startFailed = true
      await this.stopDaemon()
    }
    this.fail(`the daemon did not start in ${startAttempts} attempts`)
    return false
  }

  private async stopDaemon(): Promise<void> {
    const complaint = await this.daemon?.stop(stopLimit)
    if (complaint !== undefined) this.fail(complaint)
  }

  /** As kubelet's garbage collection: again, while something is still being given back. */
  private async cleanUp(): Promise<void> {
    const { engine } = this.world
    let trouble: string | undefined
    for (let attempt = 1; attempt <= retryAttempts; attempt++) {
      const end = await (this.daemon as Daemon<S>).use("Cleanup", this.scenario.cleanup, stepLimit)
      trouble = describeEnd(end)
      this.world.calls.note(`== cleanup: ${trouble ?? "ok"}`)
      if (trouble === undefined) return
      await engine.run(() => false, engine.nowUs + retryPause * 1_000_000)
    }
    this.fail(`clean-up failed: ${trouble}`)
  }

  private async lookAround(): Promise<void> {
    const { engine } = this.world
    const cleaned = engine.nowUs
    let lines: ReadonlyArray<string> = []
    for (const second of settleAt) {
      await engine.run(() => false, cleaned + second * 1_000_000)
      lines = this.leaked(true)
      if (lines.length === 0) break
    }
    if (lines.length > 0) this.fail(`left behind:\n  ${lines.join("\n  ")}`)
    await this.stopDaemon()
    const after = this.leaked(false).filter((line) => !lines.includes(line))
    if (after.length > 0) this.fail(`left behind by a daemon that was stopped:\n  ${after.join("\n  ")}`)
  }

  private leaked(running: boolean): ReadonlyArray<string> {
    const { accepted } = this.options
    const now = holdings(this.world, this.scenario.roots)
    return leftover(this.before, now).filter(
      (line) => accepted?.has(line) !== true && this.scenario.ignore?.(line, running) !== true
    )
  }
}

/** Undefined for success. */
const describeEnd = (end: End): string | undefined => {
  switch (end._tag) {
    case "lost":
      return "the daemon died"
    case "hung":
      return `hung: ${end.reason}`
    case "done":
      // Numbers of fibers are counted through all runs of a process.
      return Exit.isSuccess(end.exit)
        ? undefined
        : Cause.pretty(end.exit.cause)
            .split("\n    at ")[0]
            ?.replace(/ \(#\d+\)/g, "")
  }
}

export const describePlan = (plan: FaultPlan, call: CallRecord | undefined): string => {
  const where = call === undefined ? "" : ` ${call.step}: ${call.service}.${call.operation} ${call.subject}`
  return `${describeFault(plan.fault)} at ${plan.where} call ${plan.at}${where}`
}
