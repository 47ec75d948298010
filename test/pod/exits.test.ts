import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { recordExit, startOf } from "../../src/pod/exits.ts"
import { Jobs } from "../../src/pod/Jobs.ts"
import { Pods } from "../../src/pod/Pods.ts"
import { containerId, containerRecord, Host, podRecord } from "./support/host.ts"

const created = { _tag: "Created", pid: 100, startTime: 7 } as const

/** A start whose runtime has not answered yet, of a process that has ended and was recorded. */
const endedEarly = (answer: (pods: Pods["Service"]) => Effect.Effect<unknown, unknown>) =>
  Effect.gen(function* () {
    const pods = yield* Pods
    const jobs = yield* Jobs
    yield* pods.adopt([podRecord()], [containerRecord({ state: created })])
    const answered = yield* Deferred.make<void>()
    yield* Effect.forkChild(jobs.attach(startOf(containerId), Effect.andThen(Deferred.await(answered), answer(pods))), {
      startImmediately: true
    })
    const exit = yield* Effect.forkChild(recordExit(containerId), { startImmediately: true })
    yield* TestClock.adjust("1 second")
    const before = (yield* pods.container(containerId)).state
    yield* Deferred.succeed(answered, undefined)
    yield* Fiber.join(exit)
    return { before, after: (yield* pods.container(containerId)).state }
  })

const exitedHost = (code: number) => {
  const host = new Host()
  host.exit(100, containerId, code)
  return host
}

describe("an exit that is recorded before the start is answered for", () => {
  it.effect("comes after the start", () =>
    Effect.gen(function* () {
      const { before, after } = yield* endedEarly((pods) =>
        pods.moveContainer(containerId, { _tag: "Started", atNs: 3n })
      )
      assert.strictEqual(before._tag, "Created")
      assert.deepInclude(after, { _tag: "Exited", exitCode: 0, reason: "Completed", startedAtNs: 3n })
    }).pipe(Effect.provide(exitedHost(0).layer))
  )

  it.effect("does not hide that the start failed", () =>
    Effect.gen(function* () {
      const failed = { _tag: "StartFailed", atNs: 4n, message: "no such file" } as const
      const { after } = yield* endedEarly((pods) => pods.moveContainer(containerId, failed))
      assert.deepInclude(after, { _tag: "Exited", exitCode: 128, reason: "StartError", message: "no such file" })
    }).pipe(Effect.provide(exitedHost(1).layer))
  )

  it.effect("does not wait for ever for a runtime that does not answer", () =>
    Effect.gen(function* () {
      const pods = yield* Pods
      yield* pods.adopt([podRecord()], [containerRecord({ state: created })])
      yield* Effect.forkChild((yield* Jobs).attach(startOf(containerId), Effect.never), { startImmediately: true })
      const exit = yield* Effect.forkChild(recordExit(containerId), { startImmediately: true })
      yield* TestClock.adjust("11 seconds")
      yield* Fiber.join(exit)
      assert.deepInclude((yield* pods.container(containerId)).state, { _tag: "Exited", exitCode: 3 })
    }).pipe(Effect.provide(exitedHost(3).layer))
  )
})
