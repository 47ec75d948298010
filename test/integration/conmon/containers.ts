/** Containers under the real conmon, and the tests that use them. */
import { it } from "@effect/vitest"
import { Effect, Layer, Option, type Scope } from "effect"
import { Conmon } from "../../../src/conmon/Conmon.ts"
import type { LaunchRequest } from "../../../src/conmon/MonitoredContainer.ts"
import { Files } from "../../../src/linux/Files.ts"
import { Processes } from "../../../src/linux/Processes.ts"
import { Sockets } from "../../../src/linux/Sockets.ts"
import { bench, type Bench, type BundleChanges, deleteContainer, type runtimes } from "./bundles.ts"

export const services = Layer.provideMerge(Conmon.layer, Layer.mergeAll(Files.layer, Processes.layer, Sockets.layer))

/** Defines tests that have a directory of bundles for one runtime. */
export const testsWith =
  (runtime: (typeof runtimes)[number]) =>
  (name: string, body: (bench: Bench) => Effect.Effect<void, unknown, Layer.Success<typeof services> | Scope.Scope>) =>
    it.live(
      name,
      () =>
        Effect.gen(function* () {
          const context = yield* Layer.build(services)
          yield* Effect.flatMap(bench(runtime), body).pipe(Effect.scoped, Effect.provideContext(context))
        }),
      120_000
    )

/** A created container, deleted and cleaned up with the scope. */
export const create = Effect.fnUntraced(function* (bench: Bench, args: ReadonlyArray<string>, changes?: BundleChanges) {
  const conmon = yield* Conmon
  const request = bench.bundle(args, changes)
  const launched = yield* Effect.acquireRelease(conmon.launch(request), () =>
    Effect.gen(function* () {
      yield* conmon.cleanup(request)
      yield* Effect.sync(() => deleteContainer(bench, request))
    }).pipe(Effect.orDie)
  )
  return { conmon, request, launched, start: Effect.sync(() => bench.command(request, "start", request.containerId)) }
})

/** Its exit, once it has ended. */
export const ended = Effect.fnUntraced(function* (request: LaunchRequest) {
  const conmon = yield* Conmon
  for (let round = 0; round < 1200; round++) {
    const exit = yield* conmon.readExit(request)
    if (Option.isSome(exit)) return exit.value
    yield* Effect.sleep("25 millis")
  }
  return yield* Effect.die(new Error("no exit file within 30 s"))
})
