/** Whether recovery is done: until then the adapter refuses every RPC but Version. */
import { Context, Effect, Layer, Ref } from "effect"

export class Readiness extends Context.Service<
  Readiness,
  {
    readonly isReady: Effect.Effect<boolean>
    /** Called once, when recovery has finished. */
    readonly markReady: Effect.Effect<void>
  }
>()("cricket/cri/Readiness") {
  static readonly layer = Layer.effect(
    Readiness,
    Effect.map(Ref.make(false), (ready) => ({ isReady: Ref.get(ready), markReady: Ref.set(ready, true) }))
  )
}
