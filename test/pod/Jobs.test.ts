import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Exit, Fiber, Layer, Ref, Scope } from "effect"
import { TestClock } from "effect/testing"
import { Admission } from "../../src/pod/Admission.ts"
import { Settings } from "../../src/config/Settings.ts"
import { Files } from "../../src/linux/Files.ts"
import { Jobs } from "../../src/pod/Jobs.ts"
import { PodSettings } from "../../src/pod/PodSettings.ts"

describe("Jobs", () => {
  it.effect("two requests for one key share one run and its result", () =>
    Effect.gen(function* () {
      const jobs = yield* Jobs
      const runs = yield* Ref.make(0)
      const gate = yield* Deferred.make<void>()
      const work = Ref.updateAndGet(runs, (n) => n + 1).pipe(Effect.tap(() => Deferred.await(gate)))
      const first = yield* Effect.forkChild(jobs.attach("pod a", work), { startImmediately: true })
      const second = yield* Effect.forkChild(jobs.attach("pod a", work), { startImmediately: true })
      yield* Deferred.succeed(gate, undefined)
      assert.deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(second)], [1, 1])
      assert.strictEqual(yield* jobs.attach("pod a", work), 2)
    }).pipe(Effect.provide(Jobs.layer))
  )

  it.effect("a client that leaves does not stop the job, and one that comes again gets its result", () =>
    Effect.gen(function* () {
      const jobs = yield* Jobs
      const gate = yield* Deferred.make<string>()
      const client = yield* Effect.forkChild(jobs.attach("pod b", Deferred.await(gate)), { startImmediately: true })
      yield* Fiber.interrupt(client)
      const again = yield* Effect.forkChild(jobs.attach("pod b", Effect.succeed("another run")), {
        startImmediately: true
      })
      yield* Deferred.succeed(gate, "the first run")
      assert.strictEqual(yield* Fiber.join(again), "the first run")
    }).pipe(Effect.provide(Jobs.layer))
  )

  it.effect("all who wait see a failure, and the next request starts anew", () =>
    Effect.gen(function* () {
      const jobs = yield* Jobs
      const exit = yield* Effect.exit(jobs.attach("pod c", Effect.fail("no network")))
      assert.deepStrictEqual(exit, Exit.fail("no network"))
      assert.strictEqual(yield* jobs.attach("pod c", Effect.succeed(1)), 1)
    }).pipe(Effect.provide(Jobs.layer))
  )

  it.effect("running jobs end, and roll back, with the scope of the server", () =>
    Effect.gen(function* () {
      const undone = yield* Ref.make(false)
      yield* Effect.gen(function* () {
        const jobs = yield* Jobs
        const work = Effect.never.pipe(Effect.onInterrupt(() => Ref.set(undone, true)))
        yield* Effect.forkDetach(jobs.attach("pod d", work), { startImmediately: true })
      }).pipe(Effect.provide(Jobs.layer), Effect.scoped)
      assert.isTrue(yield* Ref.get(undone))
    })
  )

  it.effect("the end of the server ends those who wait for a job, and those who come later", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const jobs = Context.get(yield* Layer.buildWithScope(Jobs.layer, scope), Jobs)
      const waiter = yield* Effect.forkDetach(jobs.attach("pod d", Effect.never), { startImmediately: true })
      // As a roll-back waits, which nothing interrupts.
      const stubborn = yield* Effect.forkDetach(Effect.uninterruptible(jobs.attach("pod d", Effect.never)), {
        startImmediately: true
      })
      yield* Scope.close(scope, Exit.void)
      const late = yield* Effect.forkDetach(jobs.attach("pod e", Effect.void), { startImmediately: true })
      for (const fiber of [waiter, stubborn, late]) {
        const exit = fiber.pollUnsafe()
        assert.isTrue(exit !== undefined && Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      }
    })
  )

  it.effect("lists jobs and named waits with their age, and forgets them at their end", () =>
    Effect.gen(function* () {
      const jobs = yield* Jobs
      const gate = yield* Deferred.make<void>()
      const wait = jobs.waiting("turn of pod e")(Deferred.await(gate))
      const fiber = yield* Effect.forkChild(jobs.attach("pod e", wait), { startImmediately: true })
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(yield* jobs.list, [
        { name: "pod e", kind: "job", ageMs: 3000 },
        { name: "turn of pod e", kind: "wait", ageMs: 3000 }
      ])
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(yield* jobs.list, [])
    }).pipe(Effect.provide(Jobs.layer))
  )
})

describe("Admission", () => {
  const layer = Admission.layer.pipe(
    Layer.provide(PodSettings.layer({ cores: 1 })),
    Layer.provide(Settings.layerTest()),
    Layer.provide(Layer.mock(Files, { readText: () => Effect.succeed("boot") })),
    Layer.provideMerge(Jobs.layer)
  )

  it.effect("lets so many start at once, and a start that is interrupted in the queue takes no turn", () =>
    Effect.gen(function* () {
      const admission = yield* Admission
      const running = yield* Ref.make(0)
      const most = yield* Ref.make(0)
      const gate = yield* Deferred.make<void>()
      const start = Effect.gen(function* () {
        const now = yield* Ref.updateAndGet(running, (n) => n + 1)
        yield* Ref.update(most, (n) => Math.max(n, now))
        yield* Deferred.await(gate)
      }).pipe(Effect.ensuring(Ref.update(running, (n) => n - 1)))
      const fibers = yield* Effect.forEach([1, 2, 3, 4, 5], (n) =>
        Effect.forkChild(admission.admit(`pod ${n}`)(start), { startImmediately: true })
      )
      assert.strictEqual(yield* Ref.get(running), 2)
      yield* Fiber.interrupt(fibers[2]!)
      yield* Deferred.succeed(gate, undefined)
      yield* Effect.forEach([0, 1, 3, 4], (index) => Fiber.join(fibers[index]!))
      assert.strictEqual(yield* Ref.get(most), 2)
      yield* admission.admit("after all")(Effect.void)
    }).pipe(Effect.provide(layer))
  )

  it.effect("a start that waits for others gives its turn on after 3 s, once", () =>
    Effect.gen(function* () {
      const admission = yield* Admission
      const gate = yield* Deferred.make<void>()
      const stuck = yield* Effect.forEach([1, 2], (n) =>
        Effect.forkChild(admission.admit(`pod ${n} whose network agent is missing`)(Deferred.await(gate)), {
          startImmediately: true
        })
      )
      const agent = yield* Effect.forkChild(admission.admit("the agent's pod")(Effect.void), { startImmediately: true })
      yield* TestClock.adjust("2900 millis")
      assert.isUndefined(agent.pollUnsafe())
      yield* TestClock.adjust("200 millis")
      assert.isDefined(agent.pollUnsafe())
      yield* Deferred.succeed(gate, undefined)
      yield* Effect.forEach(stuck, Fiber.join)
      // Turns given back twice would let three in.
      const running = yield* Ref.make(0)
      const again = yield* Effect.forEach([1, 2, 3], () =>
        Effect.forkChild(
          admission.admit("again")(Ref.update(running, (n) => n + 1).pipe(Effect.andThen(Effect.never))),
          {
            startImmediately: true
          }
        )
      )
      assert.strictEqual(yield* Ref.get(running), 2)
      yield* Effect.forEach(again, Fiber.interrupt)
    }).pipe(Effect.provide(layer))
  )
})
