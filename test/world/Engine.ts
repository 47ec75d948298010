/**
 * The heart of the simulation: one task queue and one virtual clock for everything that runs in a world. Who owns a
 * fiber (a daemon's life, a process) decides whether its tasks may still run: killing an owner stops its fibers between
 * two instructions, without a finalizer having any say.
 */
import { Clock, Context, Duration, Effect, Random, Scheduler, type Fiber } from "effect"

/** Somebody whose fibers live and die together. */
export class Owner {
  dead = false
  readonly name: string
  constructor(name: string) {
    this.name = name
  }
}

interface Task {
  readonly owner: Owner
  readonly run: () => void
}

interface Sleeper {
  readonly atUs: number
  readonly order: number
  readonly owner: Owner
  readonly wake: () => void
  cancelled: boolean
}

export type RunEnd = "done" | "idle" | "deadline"

/** mulberry32: small, fast, good enough to shuffle. */
export const seededRandom = (seed: number): (() => number) => {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

const macrotask = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** 2026-01-01T00:00:00Z in microseconds. */
const epochUs = 1_767_225_600_000_000

export interface EngineOptions {
  /** Task order and pre-emption are drawn from this seed; without one tasks run in the order in which they came. */
  readonly seed?: number
  /** More tasks than this is a live-lock. Default 5 million. */
  readonly maxTasks?: number
}

export class Engine {
  /** Virtual time, microseconds since the epoch. */
  nowUs = epochUs
  /** Tasks run so far. */
  tasks = 0
  /** One more whenever something else than the daemon has had its turn: a task of another owner, or the time. */
  turns = 0
  /** The daemon's own tasks. */
  daemon: Owner | undefined
  private queue: Array<Task> = []
  private head = 0
  private readonly sleepers: Array<Sleeper> = []
  private order = 0
  private readonly random: (() => number) | undefined
  private readonly maxTasks: number

  constructor(options: EngineOptions = {}) {
    this.random = options.seed === undefined ? undefined : seededRandom(options.seed)
    this.maxTasks = options.maxTasks ?? 5_000_000
  }

  get nowMs(): number {
    return Math.floor(this.nowUs / 1000)
  }

  schedule(owner: Owner, run: () => void): void {
    if (!owner.dead) this.queue.push({ owner, run })
  }

  /** Calls `wake` as a task of its owner at a virtual time. The answer cancels it. */
  at(owner: Owner, atUs: number, wake: () => void): () => void {
    const sleeper: Sleeper = { atUs, order: this.order++, owner, wake, cancelled: false }
    this.pushSleeper(sleeper)
    return () => {
      sleeper.cancelled = true
    }
  }

  /** Scheduler, clock and random numbers of an owner's fibers. */
  context(owner: Owner, seed: number): Context.Context<never> {
    const random = seededRandom(seed)
    return Context.make(Scheduler.Scheduler, this.scheduler(owner)).pipe(
      Context.add(Clock.Clock, this.clock(owner)),
      Context.add(Random.Random, {
        nextDoubleUnsafe: random,
        nextIntUnsafe: () => Math.floor((random() - 0.5) * 2 * Number.MAX_SAFE_INTEGER)
      })
    ) as Context.Context<never>
  }

  fork<A, E>(context: Context.Context<never>, effect: Effect.Effect<A, E>): Fiber.Fiber<A, E> {
    return Effect.runForkWith(context)(effect)
  }

  /** Runs tasks, and when none is left jumps to the next sleeper, until `done`, until nothing can ever happen, or until the deadline. */
  async run(done: () => boolean, deadlineUs = Number.POSITIVE_INFINITY): Promise<RunEnd> {
    for (;;) {
      while (this.step()) if (done()) return "done"
      if (done()) return "done"
      // Promises of code above the seam (there should be few) get their turn before time moves.
      await macrotask()
      if (this.head < this.queue.length) continue
      if (done()) return "done"
      const next = this.nextSleeper()
      if (next === undefined) return "idle"
      if (next.atUs > deadlineUs) {
        this.nowUs = Math.max(this.nowUs, deadlineUs)
        return "deadline"
      }
      this.nowUs = Math.max(this.nowUs, next.atUs)
      this.turns++
    }
  }

  /** Lets time pass as on the wall: for tests that were written for the real host. The answer stops it. */
  live(): () => void {
    let before = performance.now()
    const timer = setInterval(() => {
      const now = performance.now()
      this.nowUs += Math.round((now - before) * 1000)
      before = now
      while (this.step()) {
        // Each step is a task; all that can run now does.
      }
    }, 1)
    return () => clearInterval(timer)
  }

  private step(): boolean {
    for (let next = this.nextSleeper(); next !== undefined && next.atUs <= this.nowUs; next = this.nextSleeper()) {
      this.popSleeper()
      this.schedule(next.owner, next.wake)
    }
    const task = this.takeTask()
    if (task === undefined) return false
    if (++this.tasks > this.maxTasks) throw new Error(`live-lock: ${this.maxTasks} tasks without an end`)
    if (task.owner !== this.daemon) this.turns++
    if (!task.owner.dead) task.run()
    return true
  }

  private takeTask(): Task | undefined {
    const { queue, random } = this
    if (this.head >= queue.length) return undefined
    if (random !== undefined) {
      const index = this.head + Math.floor(random() * (queue.length - this.head))
      const chosen = queue[index]
      queue[index] = queue[this.head] as Task
      queue[this.head] = chosen as Task
    }
    const task = queue[this.head++]
    if (this.head > 1024 && this.head * 2 > queue.length) {
      this.queue = queue.slice(this.head)
      this.head = 0
    }
    return task
  }

  private scheduler(owner: Owner): Scheduler.Scheduler {
    const random = this.random
    return {
      executionMode: "async",
      shouldYield:
        random === undefined ? (fiber) => fiber.currentOpCount >= 2048 : () => !owner.dead && random() < 0.05,
      makeDispatcher: () => ({
        scheduleTask: (run) => this.schedule(owner, run),
        flush: () => {}
      })
    }
  }

  private clock(owner: Owner): Clock.Clock {
    const nanos = (us: number) => BigInt(us) * 1000n
    const monotonic = () => nanos(this.nowUs - epochUs)
    return {
      currentTimeMillisUnsafe: () => this.nowMs,
      currentTimeMillis: Effect.sync(() => this.nowMs),
      currentTimeNanosUnsafe: () => nanos(this.nowUs),
      currentTimeNanos: Effect.sync(() => nanos(this.nowUs)),
      monotonicTimeNanosUnsafe: monotonic,
      monotonicTimeNanos: Effect.sync(monotonic),
      sleep: (duration) =>
        Effect.callback<void>((resume) => {
          const millis = Duration.toMillis(duration)
          if (!Number.isFinite(millis)) return undefined
          const at = Math.ceil(this.nowUs + Math.max(millis, 0) * 1000)
          return Effect.sync(this.at(owner, at, () => resume(Effect.void)))
        })
    }
  }

  private nextSleeper(): Sleeper | undefined {
    for (let first = this.sleepers[0]; first !== undefined; first = this.sleepers[0]) {
      if (!first.cancelled && !first.owner.dead) return first
      this.popSleeper()
    }
    return undefined
  }

  private pushSleeper(sleeper: Sleeper): void {
    const heap = this.sleepers
    let index = heap.push(sleeper) - 1
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!earlier(sleeper, heap[parent] as Sleeper)) break
      heap[index] = heap[parent] as Sleeper
      index = parent
    }
    heap[index] = sleeper
  }

  private popSleeper(): void {
    const heap = this.sleepers
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let index = 0
    for (;;) {
      let child = index * 2 + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && earlier(heap[child + 1] as Sleeper, heap[child] as Sleeper)) child++
      if (!earlier(heap[child] as Sleeper, last)) break
      heap[index] = heap[child] as Sleeper
      index = child
    }
    heap[index] = last
  }
}

const earlier = (a: Sleeper, b: Sleeper): boolean => a.atUs < b.atUs || (a.atUs === b.atUs && a.order < b.order)
