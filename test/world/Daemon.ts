/** One life of the daemon inside a world: started as a layer, used by steps, stopped, or crashed. */
import { Cause, Context, Effect, Exit, Fiber, Layer, Logger, Scope } from "effect"
import { Step } from "./Calls.ts"
import { seamLayer, type SeamServices } from "./layers.ts"
import type { Life, World } from "./World.ts"

/** How a daemon is made of the seam's services: its layer is the product's own, unchanged. */
export type DaemonLayer<S> = (seam: Layer.Layer<SeamServices>) => Layer.Layer<S, unknown>

/** The end of something that ran in the daemon; "lost": the daemon died under it, "hung": nothing would ever end it. */
export type End =
  | { readonly _tag: "done"; readonly exit: Exit.Exit<unknown, unknown> }
  | { readonly _tag: "lost" }
  | { readonly _tag: "hung"; readonly reason: string }

const seconds = 1_000_000

export class Daemon<S> {
  readonly life: Life
  private readonly world: World
  private readonly context: Context.Context<never>
  private readonly scope = Scope.makeUnsafe()
  private services: Context.Context<S> | undefined
  private current: Fiber.Fiber<unknown, unknown> | undefined
  private closing: Fiber.Fiber<unknown, unknown> | undefined
  /** What was sent and may not have been answered yet. */
  private readonly sent = new Set<Fiber.Fiber<unknown, unknown>>()

  constructor(world: World) {
    this.world = world
    this.life = world.startLife()
    const log = Logger.make(({ logLevel, message, cause }) => {
      const text = [message].flat().map(String).join(" ")
      const reasons = cause.reasons.length === 0 ? "" : ` ${Cause.pretty(cause)}`
      world.calls.note(`log ${logLevel} ${text}${reasons}`)
    })
    this.context = Context.add(
      world.engine.context(this.life.process.owner, world.nextSeed()),
      Logger.CurrentLoggers,
      new Set([log])
    ) as Context.Context<never>
  }

  get ready(): boolean {
    return this.services !== undefined && !this.life.dead() && this.closing === undefined
  }

  /** Builds the layer. It may take this many seconds of virtual time. */
  async start(layer: DaemonLayer<S>, limitSeconds: number): Promise<End> {
    const build = Layer.buildWithScope(layer(seamLayer(this.world, this.life)), this.scope)
    this.world.calls.phase = "Start"
    const end = await this.run(undefined, build, limitSeconds)
    this.world.calls.phase = "background"
    if (end._tag === "done" && Exit.isSuccess(end.exit)) this.services = end.exit.value as Context.Context<S>
    return end
  }

  /** Runs a command against the daemon's services, as a client's request. */
  async use(name: string, effect: Effect.Effect<unknown, unknown, S>, limitSeconds: number): Promise<End> {
    const { services } = this
    if (services === undefined) return { _tag: "lost" }
    const request = this.world.calls.request(this.life, name, Effect.provideContext(effect, services))
    return this.run(name, request, limitSeconds)
  }

  /** Sends a command and goes on: several are in flight together. */
  send(name: string, effect: Effect.Effect<unknown, unknown, S>): Fiber.Fiber<unknown, unknown> {
    if (this.services === undefined) throw new Error("the daemon has not started")
    const context = Context.add(this.context, Step, name) as Context.Context<never>
    const work = Effect.andThen(Effect.yieldNow, Effect.provideContext(effect, this.services))
    const fiber = this.world.engine.fork(context, work)
    this.sent.add(fiber)
    fiber.addObserver(() => this.sent.delete(fiber))
    return fiber
  }

  /** The client goes away. */
  cancel(): void {
    this.current?.interruptUnsafe()
  }

  /** SIGTERM: requests are interrupted, and when they have ended the scope closes. */
  terminate(): void {
    if (this.closing !== undefined || this.life.dead()) return
    const requests = this.current === undefined ? [...this.sent] : [this.current, ...this.sent]
    this.closing = this.world.engine.fork(
      Context.add(this.context, Step, "Shutdown") as Context.Context<never>,
      Effect.andThen(Fiber.interruptAll(requests), Scope.close(this.scope, Exit.void))
    )
  }

  /** Ends the process in an orderly way; an answer is a complaint. */
  async stop(limitSeconds: number): Promise<string | undefined> {
    if (this.life.dead()) return undefined
    this.terminate()
    const { closing, world } = this
    const began = world.engine.nowUs
    const limit = began + limitSeconds * seconds
    await world.engine.run(() => closing?.pollUnsafe() !== undefined || this.life.dead(), limit)
    const ended = closing?.pollUnsafe() !== undefined || this.life.dead()
    world.crash()
    return ended ? undefined : `the daemon did not stop within ${limitSeconds} s of SIGTERM`
  }

  get stopping(): boolean {
    return this.closing !== undefined && !this.life.dead()
  }

  private async run(
    name: string | undefined,
    effect: Effect.Effect<unknown, unknown>,
    limitSeconds: number
  ): Promise<End> {
    const { engine } = this.world
    const context = name === undefined ? this.context : Context.add(this.context, Step, name)
    // Not before it is known as the current one: a fault at its very first call may cancel it.
    const fiber = engine.fork(context as Context.Context<never>, Effect.andThen(Effect.yieldNow, effect))
    this.current = fiber
    const end = await engine.run(
      () => fiber.pollUnsafe() !== undefined || this.life.dead(),
      engine.nowUs + limitSeconds * seconds
    )
    this.current = undefined
    const exit = fiber.pollUnsafe()
    if (exit !== undefined) return { _tag: "done", exit }
    if (this.life.dead()) return { _tag: "lost" }
    fiber.interruptUnsafe()
    const reason = end === "idle" ? "nothing is left that could wake it" : `no end after ${limitSeconds} s`
    return { _tag: "hung", reason }
  }
}
