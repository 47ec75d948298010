import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { Pods } from "../../src/pod/Pods.ts"
import { stopContainer } from "../../src/pod/stopContainer.ts"
import type { ContainerRecord } from "../../src/pod/ContainerRecord.ts"
import { settleExit } from "../../src/pod/exits.ts"
import { containerId, containerRecord, Host, podRecord } from "./support/host.ts"

const SIGTERM = 15
const SIGKILL = 9

const withContainer = (patch: Partial<ContainerRecord> = {}) =>
  Effect.flatMap(Pods, (pods) => pods.adopt([podRecord()], [containerRecord(patch)]))

const stateNow = Effect.gen(function* () {
  return (yield* (yield* Pods).container(containerId)).state
})

const stop = (graceSeconds: number) =>
  Effect.forkChild(stopContainer(containerId, graceSeconds), { startImmediately: true })

/** SIGKILL ends the process and its monitor records that; other signals do nothing. */
const stubborn = () => {
  const host = new Host()
  host.onSignal = (pid, signal) => {
    if (signal === SIGKILL) host.processes.delete(pid)
  }
  return host
}

describe("stopContainer", () => {
  it.effect("its stop signal, patience, then SIGKILL; the exit is what the monitor records", () => {
    const host = stubborn()
    return Effect.gen(function* () {
      yield* withContainer()
      const stopping = yield* stop(30)
      assert.deepStrictEqual(host.signals, [{ pid: 100, signal: SIGTERM }])
      yield* TestClock.adjust("29 seconds")
      assert.strictEqual(host.signals.length, 1)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(host.signals.at(-1), { pid: 100, signal: SIGKILL })
      assert.isUndefined(stopping.pollUnsafe())
      host.exit(100, containerId, 137)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(stopping)
      assert.deepInclude(yield* stateNow, { _tag: "Exited", exitCode: 137, reason: "Error" })
    }).pipe(Effect.provide(host.layer))
  })

  it.effect("a later request with less grace shortens the wait, one with more does not lengthen it; one signal", () => {
    const host = stubborn()
    return Effect.gen(function* () {
      yield* withContainer()
      const first = yield* stop(600)
      yield* TestClock.adjust("10 seconds")
      const longer = yield* stop(3600)
      const shorter = yield* stop(5)
      yield* TestClock.adjust("4 seconds")
      assert.deepStrictEqual(host.signals, [{ pid: 100, signal: SIGTERM }])
      yield* TestClock.adjust("1 second")
      assert.strictEqual(host.signals.length, 2)
      host.exit(100, containerId, 137)
      yield* TestClock.adjust("1 second")
      for (const request of [first, longer, shorter]) yield* Fiber.join(request)
    }).pipe(Effect.provide(host.layer))
  })

  it.effect("a clock that is set back meanwhile does not lengthen the wait", () => {
    const host = stubborn()
    let jump = 0
    return Effect.gen(function* () {
      const clock = yield* Clock.Clock
      const jumping = Object.assign(Object.create(clock) as Clock.Clock, {
        currentTimeMillis: Effect.sync(() => clock.currentTimeMillisUnsafe() + jump)
      })
      yield* withContainer()
      yield* Effect.provideService(stop(10), Clock.Clock, jumping)
      yield* TestClock.adjust("5 seconds")
      jump = -3_600_000
      yield* TestClock.adjust("4 seconds")
      assert.deepStrictEqual(host.signals, [{ pid: 100, signal: SIGTERM }])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(host.signals.at(-1), { pid: 100, signal: SIGKILL })
      host.exit(100, containerId, 137)
    }).pipe(Effect.provide(host.layer))
  })

  it.effect("grace 0 kills at once; a process that does not die is killed again", () => {
    const host = new Host()
    return Effect.gen(function* () {
      yield* withContainer()
      const stopping = yield* stop(0)
      yield* TestClock.adjust("1 second")
      const kills = host.signals.filter(({ signal }) => signal === SIGKILL).length
      assert.isAbove(kills, 2)
      yield* TestClock.adjust("1 hour")
      assert.isBelow(host.signals.length, 60, "pauses grow")
      assert.isUndefined(stopping.pollUnsafe())
      host.exit(100, containerId, 137)
      yield* TestClock.adjust("3 minutes")
      yield* Fiber.join(stopping)
      assert.strictEqual((yield* stateNow)._tag, "Exited")
    }).pipe(Effect.provide(host.layer))
  })

  it.effect("a container that was never started gets no stop signal and no patience", () => {
    const host = stubborn()
    return Effect.gen(function* () {
      yield* withContainer({ state: { _tag: "Created", pid: 100, startTime: 7 } })
      yield* stop(600)
      assert.deepStrictEqual(host.signals, [{ pid: 100, signal: SIGKILL }])
    }).pipe(Effect.provide(host.layer))
  })

  it.effect("a pid that was used again is not signalled", () => {
    const host = stubborn()
    host.processes.set(100, 8)
    host.monitors.clear()
    return Effect.gen(function* () {
      yield* withContainer()
      const stopping = yield* stop(0)
      yield* Fiber.join(stopping)
      assert.deepStrictEqual(host.signals, [])
      assert.deepInclude(yield* stateNow, { _tag: "Exited", exitCode: 255, reason: "Unknown" })
    }).pipe(Effect.provide(host.layer))
  })

  it.effect("stopping what has exited succeeds without a signal", () => {
    const host = new Host()
    const state = {
      _tag: "Exited",
      startedAtNs: 1n,
      finishedAtNs: 2n,
      exitCode: 0,
      reason: "Completed",
      message: ""
    } as const
    return Effect.gen(function* () {
      yield* withContainer({ state })
      yield* stopContainer(containerId, 10)
      assert.deepStrictEqual([host.signals, yield* stateNow], [[], state])
    }).pipe(Effect.provide(host.layer))
  })
})

describe("settleExit", () => {
  it.effect("waits for a monitor that lives, and takes what it records", () => {
    const host = new Host()
    host.processes.clear()
    return Effect.gen(function* () {
      yield* withContainer()
      const settling = yield* Effect.forkChild(settleExit(containerId), { startImmediately: true })
      yield* TestClock.adjust("30 seconds")
      assert.isUndefined(settling.pollUnsafe())
      host.exit(100, containerId, 3)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(settling)
      assert.deepInclude(yield* stateNow, { _tag: "Exited", exitCode: 3, reason: "Error" })
      assert.deepStrictEqual(host.killed, [`/kubepods/pod-uid-1/crio-${containerId}`])
    }).pipe(Effect.provide(host.layer))
  })

  it.effect("not for ever: after a minute the code is lost", () => {
    const host = new Host()
    host.processes.clear()
    return Effect.gen(function* () {
      yield* withContainer()
      const settling = yield* Effect.forkChild(settleExit(containerId), { startImmediately: true })
      yield* TestClock.adjust("62 seconds")
      yield* Fiber.join(settling)
      assert.deepInclude(yield* stateNow, {
        exitCode: 255,
        reason: "Unknown",
        message: "its monitor has not recorded the exit code in 1m"
      })
    }).pipe(Effect.provide(host.layer))
  })

  it.effect(
    "a record that cannot be read, by a monitor that has gone, is a lost exit and not a container that runs on",
    () => {
      const host = new Host()
      host.processes.clear()
      host.monitors.clear()
      host.exits.set(containerId, "damaged")
      return Effect.gen(function* () {
        yield* withContainer()
        yield* settleExit(containerId)
        const state = yield* stateNow
        assert.deepInclude(state, { _tag: "Exited", exitCode: 255, reason: "Unknown" })
        assert.include(state._tag === "Exited" ? state.message : "", "not an exit code")
      }).pipe(Effect.provide(host.layer))
    }
  )
})
