import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import type { ContainerRecord } from "../../src/pod/ContainerRecord.ts"
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
      yield* TestClock.adjust("13 seconds")
      yield* Fiber.join(exit)
      assert.deepInclude((yield* pods.container(containerId)).state, { _tag: "Exited", exitCode: 3 })
    }).pipe(Effect.provide(exitedHost(3).layer))
  )
})

describe("a process that was killed", () => {
  const reasonOf = (host: Host, state: ContainerRecord["state"] = containerRecord().state) =>
    Effect.gen(function* () {
      const pods = yield* Pods
      yield* pods.adopt([podRecord()], [containerRecord({ state })])
      yield* recordExit(containerId)
      const after = (yield* pods.container(containerId)).state
      return after._tag === "Exited" ? after.reason : after._tag
    }).pipe(Effect.provide(Layer.fresh(host.layer)))

  it.effect("for lack of memory is known by its cgroup where the monitor has not heard of it", () =>
    Effect.gen(function* () {
      for (const [kills, expected] of [
        [1n, "OOMKilled"],
        [0n, "Error"],
        [undefined, "Error"]
      ] as const) {
        const host = exitedHost(137)
        host.oomKills = kills
        assert.strictEqual(yield* reasonOf(host), expected)
      }
    })
  )

  it.effect("by a stop was not killed for lack of memory, nor one that ended by itself", () =>
    Effect.gen(function* () {
      const stopped = exitedHost(137)
      stopped.oomKills = 1n
      const stopping = { _tag: "Stopping", pid: 100, startTime: 7, startedAtNs: 1n, deadlineMs: 0 } as const
      assert.strictEqual(yield* reasonOf(stopped, stopping), "Error")
      const ended = exitedHost(0)
      ended.oomKills = 1n
      assert.strictEqual(yield* reasonOf(ended), "Completed")
    })
  )
})
