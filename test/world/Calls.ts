/** The choke point: every call through the seam is counted and logged here, and here the planned fault strikes. */
import { Context, Effect, type Exit, type Fiber } from "effect"
import { createHash } from "node:crypto"
import { LinuxError } from "../../src/linux/LinuxError.ts"
import type { Loss } from "./Node.ts"

/** Name of the command (an RPC, say) on whose behalf a fiber works; inherited by the fibers it forks. */
export const Step = Context.Reference<string | undefined>("test/world/Step", { defaultValue: () => undefined })

export type When = "before" | "after"

/**
 * What goes wrong. "interrupt": the fiber that makes the call; "cancel": the client's request goes away; "terminate": the
 * daemon gets SIGTERM; "crash": it dies; "power": the whole machine does. "fail" is for calls of the seam; "exit" and
 * "kill" are for programs.
 */
export type Fault =
  | { readonly kind: "fail"; readonly code: string }
  | { readonly kind: "interrupt" | "cancel" | "terminate" | "crash"; readonly when: When }
  | { readonly kind: "power"; readonly when: When; readonly loss: Loss }
  | { readonly kind: "exit" | "kill" }

/** A call through the seam, a point of a program, or a request of the client: "after" is when its answer is on its way. */
export type Where = "seam" | "program" | "request"

export interface FaultPlan {
  /** Counted from 1: the at-th of its kind. */
  readonly at: number
  readonly where: Where
  readonly fault: Fault
}

export const describeFault = (fault: Fault): string => {
  switch (fault.kind) {
    case "fail":
      return `fail ${fault.code}`
    case "power":
      return `power ${fault.when} (loses ${fault.loss})`
    case "exit":
    case "kill":
      return `program ${fault.kind}`
    default:
      return `${fault.kind} ${fault.when}`
  }
}

export interface CallRecord {
  /** Number among its kind, from 1. */
  readonly number: number
  readonly where: Where
  readonly step: string
  readonly service: string
  readonly operation: string
  readonly subject: string
  /** False for a point in the midst of an operation, where nothing can fail but the daemon or its host. */
  readonly failable: boolean
  /** What had happened in the world before: it is one more at the next call when this one is all that has. */
  readonly events: number
  /** Number of the call through the seam that was done last. */
  readonly last: number
  /** What each kind of power loss would leave; only where somebody has asked for it. */
  readonly survivors?: Readonly<Record<"all" | "content", string>>
}

type Call = Omit<CallRecord, "number" | "where" | "step" | "events" | "last" | "survivors">

/** Errors that an operation can have whatever the state of the world: never one that would be a lie about it (ENOENT). */
const errnos: Readonly<Record<string, ReadonlyArray<string>>> = {
  "Files.readFile": ["EIO"],
  "Files.readText": ["EIO"],
  "Files.readInRoot": ["EIO"],
  "Files.resolveInRoot": ["EIO"],
  "Files.makeDirectoryInRoot": ["ENOSPC", "ENOTDIR"],
  "Files.writeExisting": ["EIO", "EBUSY"],
  "Files.attendFifo": ["EMFILE"],
  "Files.open": ["EMFILE", "ENOSPC"],
  "Files.read": ["EIO"],
  "Files.write": ["ENOSPC", "EIO"],
  "Files.writeAt": ["ENOSPC", "EIO"],
  "Files.sync": ["EIO"],
  "Files.syncDirectory": ["EIO"],
  "Files.makeDirectory": ["ENOSPC", "EROFS"],
  "Files.readDirectory": ["EIO"],
  "Files.readDirectoryEntries": ["EIO"],
  "Files.rename": ["ENOSPC", "EIO"],
  "Files.link": ["ENOSPC", "EMLINK"],
  "Files.symlink": ["ENOSPC"],
  "Files.readLink": ["EIO"],
  "Files.realPath": ["EIO"],
  "Files.removeFile": ["EIO", "EBUSY"],
  "Files.removeVolatile": ["EIO", "EBUSY"],
  "Files.removeDirectory": ["EBUSY", "EIO"],
  "Files.removeTree": ["EBUSY", "EIO"],
  "Files.stat": ["EIO"],
  "Files.lstat": ["EIO"],
  "Files.chmod": ["EIO"],
  "Files.chown": ["EIO"],
  "Files.statFileSystem": ["EIO"],
  "Files.diskUsage": ["EIO"],
  "Files.watch": ["ENOSPC"],
  "Mounts.mount": ["ENOMEM", "EPERM"],
  "Mounts.mountOverlay": ["ENOMEM", "EPERM"],
  "Mounts.bindMapped": ["ENOMEM", "EPERM"],
  "Mounts.canMap": ["ENOMEM"],
  "Mounts.unmount": ["EBUSY"],
  "Mounts.list": ["EIO"],
  "Namespaces.pin": ["ENOSPC", "EPERM"],
  "Namespaces.unpin": ["EBUSY"],
  "Namespaces.isPinned": ["EIO"],
  "Processes.spawn": ["EAGAIN", "ENOENT"],
  "Processes.run": ["EAGAIN", "ENOENT"],
  "Processes.output": ["EIO"],
  "Processes.write": ["EPIPE"],
  "Processes.content": ["EIO"],
  "Processes.find": ["EIO"],
  "Processes.list": ["EIO"],
  "Processes.signal": ["EPERM"],
  "Processes.awaitEnd": ["EMFILE"],
  "Sockets.dial": ["EMFILE"],
  "Sockets.connectPackets": ["EMFILE"],
  "Sockets.listenForTerminal": ["EMFILE", "ENOSPC"],
  "Sockets.receiveTerminal": ["EMFILE"],
  "Sockets.read": ["EIO"],
  "Sockets.write": ["EPIPE"],
  "Sockets.resize": ["EIO"],
  "Locks.acquire": ["ENOLCK", "EMFILE"],
  "Locks.tryAcquire": ["ENOLCK"],
  "Locks.readStamp": ["EIO"],
  "Locks.writeStamp": ["ENOSPC"],
  "LayerUnpacker.unpack": ["damaged"],
  "Http.request": ["transport", "500"],
  "Http.body": ["transport"]
}

export const possibleErrors = (call: Pick<CallRecord, "service" | "operation" | "failable">): ReadonlyArray<string> =>
  call.failable ? (errnos[`${call.service}.${call.operation}`] ?? ["EIO"]) : []

/** What of the world decides what a fault can do at a call. */
export interface Look {
  readonly turns: () => number
  readonly survivors: (loss: Loss) => string
}

/** One life of the daemon as the choke point sees it. */
export interface CallerLife {
  readonly dead: () => boolean
}

/** What a fault does to the daemon's world; the driver and the world fill it in. */
export interface FaultActions {
  readonly cancel: () => void
  readonly terminate: () => void
  readonly crash: () => void
  readonly power: (loss: Loss) => void
}

export class Calls {
  readonly records: Array<CallRecord> = []
  readonly log: Array<string> = []
  plan: FaultPlan | undefined
  /** Chooses faults call by call, beside the plan; for random runs. */
  draw: ((call: CallRecord) => Fault | undefined) | undefined
  /** The call that the plan hit. */
  struck: CallRecord | undefined
  /**
   * Name for calls of fibers without a step: "Start" while the daemon starts, then "background". A start has no step of
   * its own, because services keep the context in which they were built.
   */
  phase = "background"
  /** Calls are numbered only while armed: the set-up of a world is not under test. */
  armed = false
  /** Whether records tell what a power loss would leave. */
  watchesDisk = false
  private readonly counts: Record<Where, number> = { seam: 0, program: 0, request: 0 }
  private readonly actions: FaultActions
  private readonly spend: () => string
  private readonly look: Look
  private acts = 0
  private last = 0
  private underway = 0

  /** `spend` moves the clock by the cost of a call and answers the time for the log. */
  constructor(actions: FaultActions, spend: () => string, look: Look) {
    this.actions = actions
    this.spend = spend
    this.look = look
  }

  note(line: string): void {
    this.log.push(line)
  }

  /** Passes a call of the daemon. `toError` makes an error of the operation's own kind; `act` is what the call does. */
  pass<A, E>(
    life: CallerLife,
    call: Call,
    toError: (code: string) => E,
    act: Effect.Effect<A, E>
  ): Effect.Effect<A, E> {
    return Effect.withFiber((fiber) => {
      if (life.dead()) return Effect.never
      const fault = this.enter("seam", fiber.getRef(Step) ?? this.phase, call)
      if (fault === undefined) return Effect.flatMap(Effect.yieldNow, () => this.whileItTakes(this.alive(life, act)))
      return this.struckBy(fault, fiber, life, toError, act)
    })
  }

  /** As `pass`, for what is done at once; `act` answers its end. Nearly all calls are such, and this is their short way. */
  passSync<A, E>(
    life: CallerLife,
    call: Call,
    toError: (code: string) => E,
    act: () => Exit.Exit<A, E>
  ): Effect.Effect<A, E> {
    return Effect.withFiber((fiber) => {
      if (life.dead()) return Effect.never
      const fault = this.enter("seam", fiber.getRef(Step) ?? this.phase, call)
      if (fault !== undefined) return this.struckBy(fault, fiber, life, toError, Effect.suspend(act))
      const number = this.counts.seam
      return Effect.flatMap(Effect.yieldNow, () => {
        if (life.dead()) return Effect.never
        this.acts++
        this.last = number
        const end = act()
        return life.dead() ? Effect.never : end
      })
    })
  }

  /** A point between two steps of a program: time passes, and here the program or the daemon may die. */
  programPoint(name: string, subject: string): Fault | undefined {
    const call = { service: "program", operation: name, subject, failable: true }
    const fault = this.enter("program", "programs", call)
    if (fault !== undefined && fault.kind !== "exit" && fault.kind !== "kill") this.strike(fault)
    return fault
  }

  /** A request, served by `act`: the client, the daemon or its host go before it is served, or with the answer. */
  request<A, E>(life: CallerLife, name: string, act: Effect.Effect<A, E>): Effect.Effect<A, E> {
    if (!this.armed) return act
    return Effect.withFiber((fiber) => {
      const call = { service: "Request", operation: name, subject: "", failable: false }
      const fault = this.enter("request", name, call)
      return fault === undefined ? act : this.struckBy(fault, fiber, life, () => undefined as never, act)
    })
  }

  private enter(where: Where, step: string, call: Call): Fault | undefined {
    const time = this.spend()
    if (!this.armed) return undefined
    const number = ++this.counts[where]
    const record = { number, where, step, ...call, events: this.events(), last: this.last, ...this.survivors() }
    this.records.push(record)
    this.log.push(`${time} ${where}#${number} ${step} ${call.service}.${call.operation} ${call.subject}`)
    const { plan } = this
    const planned = plan?.where === where && plan.at === number ? plan.fault : undefined
    const fault = planned ?? this.draw?.(record)
    if (fault === undefined) return undefined
    this.struck = record
    this.log.push(`${time} *** ${describeFault(fault)}`)
    return fault
  }

  /** What takes a while changes the world whenever it likes. */
  private whileItTakes<A, E>(act: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.suspend(() => {
      this.underway++
      return Effect.onExit(act, () => Effect.sync(() => this.underway--))
    })
  }

  private events(): number {
    if (this.underway > 0) this.acts += 2
    return this.acts + this.look.turns()
  }

  private survivors(): Pick<CallRecord, "survivors"> {
    if (!this.watchesDisk) return {}
    return { survivors: { all: digest(this.look.survivors("all")), content: digest(this.look.survivors("content")) } }
  }

  private struckBy<A, E>(
    fault: Fault,
    fiber: Fiber.Fiber<unknown, unknown>,
    life: CallerLife,
    toError: (code: string) => E,
    act: Effect.Effect<A, E>
  ): Effect.Effect<A, E> {
    switch (fault.kind) {
      case "fail":
        return Effect.fail(toError(fault.code))
      case "exit":
      case "kill":
        return this.alive(life, act)
      default: {
        const strike = Effect.suspend(() => {
          if (fault.kind === "interrupt") fiber.interruptUnsafe()
          else this.strike(fault)
          return life.dead() ? Effect.never : Effect.yieldNow
        })
        return fault.when === "before"
          ? Effect.andThen(strike, this.alive(life, act))
          : Effect.tap(this.alive(life, act), () => strike)
      }
    }
  }

  private strike(fault: Fault): void {
    if (fault.kind === "cancel") this.actions.cancel()
    else if (fault.kind === "terminate") this.actions.terminate()
    else if (fault.kind === "crash") this.actions.crash()
    else if (fault.kind === "power") this.actions.power(fault.loss)
  }

  /** Whatever a call of a dead daemon was waiting for: it never comes back. */
  private alive<A, E>(life: CallerLife, act: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.suspend(() =>
      life.dead() ? Effect.never : Effect.onExit(act, () => (life.dead() ? Effect.never : Effect.void))
    )
  }
}

const digest = (text: string): string => createHash("sha256").update(text).digest("hex")

export const linuxError = (operation: string, subject: string, code: string): LinuxError =>
  new LinuxError({ operation, subject, code })
