/** Compile-time promises of makeServices; a line that stops being an error fails the type check. */
// @effect-diagnostics missingEffectError:off missingEffectContext:off
import { assert, it } from "@effect/vitest"
import { Context, Effect, Schema } from "effect"
import { runtimeConfig } from "../../src/cri/runtime/runtimeConfig.ts"
import { version } from "../../src/cri/runtime/version.ts"
import { makeServices } from "../../src/cri/services.ts"
import { environment } from "./support.ts"

class Clockwork extends Context.Service<Clockwork, { readonly tick: Effect.Effect<void> }>()("test/cri/Clockwork") {}
class Unknown extends Schema.TaggedError<Unknown>()("Unknown", {}) {}

const options = { maxResponseBytes: 1024 }

it.effect("asks for exactly what the handlers need", () =>
  Effect.gen(function* () {
    const services = yield* makeServices(
      {
        runtime: {
          Version: version,
          RuntimeConfig: runtimeConfig,
          StartContainer: () => Effect.flatMap(Clockwork, ({ tick }) => Effect.as(tick, {}))
        },
        image: {}
      },
      options
    )
    assert.deepStrictEqual(
      services.map(({ implementation }) => Object.keys(implementation)),
      [["version", "startContainer", "runtimeConfig"], []]
    )
  }).pipe(Effect.provideService(Clockwork, { tick: Effect.void }), Effect.provide(environment()), Effect.scoped)
)

it("refuses wrong names, wrong responses and errors without a code", () => {
  const refused: ReadonlyArray<Effect.Effect<unknown, unknown, unknown>> = [
    // @ts-expect-error the RPC's name is Version
    makeServices({ runtime: { Vershion: version }, image: {} }, options),
    // @ts-expect-error another RPC's handler
    makeServices({ runtime: { Status: version }, image: {} }, options),
    // @ts-expect-error an error class that statusCodes.ts does not know
    makeServices({ runtime: { StartContainer: () => new Unknown() }, image: {} }, options)
  ]
  // @ts-expect-error without Clockwork
  const needy: Effect.Effect<unknown, never, never> = makeServices(
    { runtime: { StartContainer: () => Effect.as(Clockwork, {}) }, image: {} },
    options
  )
  assert.isDefined([...refused, needy])
})
