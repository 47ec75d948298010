import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { LinuxError } from "../../src/linux/LinuxError.ts"
import type { PodRecord } from "../../src/pod/PodRecord.ts"
import { Pods } from "../../src/pod/Pods.ts"
import type { DamagedRecord } from "../../src/pod/Records.ts"
import { containerId, containerRecord, podId, podRecord } from "./support/host.ts"
import { network, recovering, stateOf, type World } from "./support/recovering.ts"

const otherBoot = "99999999-0000-0000-0000-000000000000"
const created = { _tag: "Created", pid: 100, startTime: 7 } as const

describe("recovery", () => {
  it.effect("what runs runs on; nothing is given back; networks learn what is theirs", () =>
    recovering({ pods: [podRecord({ resources: [network] })], containers: [containerRecord()] }, ({ done, host }) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* stateOf(podId), { _tag: "Ready" })
        assert.deepStrictEqual(yield* stateOf(containerId), containerRecord().state)
        assert.deepStrictEqual([done, host.signals], [["GC aaaa"], []])
      })
    )
  )

  it.effect("a change of limits that was left half-way is undone, of what runs and of what has ended", () =>
    Effect.gen(function* () {
      const resizing = { files: { "cpu.shares": "1024" } }
      const exited = {
        _tag: "Exited",
        startedAtNs: 1n,
        finishedAtNs: 2n,
        exitCode: 0,
        reason: "",
        message: ""
      } as const
      for (const state of [containerRecord().state, exited]) {
        const found = { pods: [podRecord()], containers: [containerRecord({ resizing, state })] }
        yield* recovering(found, ({ done }) =>
          Effect.gen(function* () {
            assert.include(done, `limits /kubepods/pod-uid-1/crio-${containerId} {"cpu.shares":"1024"}`)
            assert.isUndefined((yield* (yield* Pods).container(containerId)).resizing)
          })
        )
      }
    })
  )

  it.effect("what ended meanwhile has its true exit", () =>
    recovering(
      { pods: [podRecord()], containers: [containerRecord()] },
      () =>
        Effect.gen(function* () {
          assert.deepInclude((yield* stateOf(containerId)) as object, {
            _tag: "Exited",
            exitCode: 7,
            finishedAtNs: 9_000_000n,
            reason: "Error"
          })
        }),
      ({ host }) => host.exit(100, containerId, 7)
    )
  )

  it.effect("without a monitor the code is lost at once, also when another process has the pid", () =>
    recovering(
      { pods: [podRecord()], containers: [containerRecord()] },
      ({ host }) =>
        Effect.gen(function* () {
          assert.deepInclude((yield* stateOf(containerId)) as object, { exitCode: 255, reason: "Unknown" })
          assert.deepStrictEqual(host.signals, [])
        }),
      ({ host }) => {
        host.processes.set(100, 8)
        host.monitors.clear()
      }
    )
  )

  it.effect("a start that outran its record is adopted; one that did not stays Created", () =>
    Effect.gen(function* () {
      const found = { pods: [podRecord()], containers: [containerRecord({ state: created })] }
      yield* recovering(found, () =>
        Effect.gen(function* () {
          assert.strictEqual((yield* stateOf(containerId))?._tag, "Running")
        })
      )
      yield* recovering(
        found,
        () =>
          Effect.gen(function* () {
            assert.strictEqual((yield* stateOf(containerId))?._tag, "Created")
          }),
        ({ runtimeStatus }) => (runtimeStatus.value = "created")
      )
    })
  )

  it.effect("after a reboot nothing is running or signalled, and DEL is still issued", () =>
    recovering(
      {
        pods: [podRecord({ bootId: otherBoot, resources: [network] })],
        containers: [containerRecord({ bootId: otherBoot })]
      },
      ({ done, host }) =>
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* stateOf(podId), { _tag: "NotReady", reason: "the node was restarted" })
          assert.deepInclude((yield* stateOf(containerId)) as object, {
            exitCode: 255,
            message: "the node was restarted"
          })
          assert.include(done, "DEL aaaa")
          assert.deepStrictEqual(host.signals, [])
        })
    )
  )

  it.effect("starts that died half-way are given back, with their names", () =>
    recovering(
      {
        pods: [
          podRecord({ state: { _tag: "Starting" }, resources: [network] }),
          podRecord({ id: "b".repeat(64), name: "b" })
        ],
        containers: [containerRecord({ podId: "b".repeat(64), state: { _tag: "Creating" } })]
      },
      ({ done, host }) =>
        Effect.gen(function* () {
          assert.strictEqual(yield* stateOf(podId), undefined)
          assert.strictEqual(yield* stateOf(containerId), undefined)
          assert.includeMembers(done, ["DEL aaaa", "monitor cccc", "layer cccc"])
          assert.isFalse(host.saved.has(podId) || host.saved.has(containerId))
        }),
      ({ pinned }) => ["netns", "utsns", "ipcns"].forEach((kind) => pinned.add(`/run/${kind}/${"b".repeat(64)}`))
    )
  )

  it.effect("a stop goes on: with what is left of the grace period, then SIGKILL", () =>
    recovering(
      {
        pods: [podRecord()],
        containers: [
          containerRecord({ state: { _tag: "Stopping", pid: 100, startTime: 7, startedAtNs: 5n, deadlineMs: 20_000 } })
        ]
      },
      ({ host }) =>
        Effect.gen(function* () {
          yield* TestClock.adjust("18 seconds")
          assert.deepStrictEqual(host.signals, [{ pid: 100, signal: 15 }])
          yield* TestClock.adjust("2 seconds")
          assert.deepStrictEqual(host.signals.at(-1), { pid: 100, signal: 9 })
          host.exit(100, containerId, 137)
          yield* TestClock.adjust("20 seconds")
          assert.deepInclude((yield* stateOf(containerId)) as object, { _tag: "Exited", exitCode: 137 })
        })
    )
  )

  it.effect("a Stopping pod is stopped to the end", () =>
    recovering(
      { pods: [podRecord({ state: { _tag: "Stopping" }, resources: [network] })], containers: [containerRecord()] },
      ({ done }) =>
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* stateOf(podId), { _tag: "NotReady", reason: "stopped" })
          assert.include(done, "DEL aaaa")
        }),
      ({ host }) => (host.onSignal = () => host.exit(100, containerId, 137))
    )
  )

  for (const [what, patch, prepare] of [
    ["its pause process has ended", { pause: { pid: 55, startTime: 3 } }, () => {}],
    ["its network namespace is gone", {}, ({ pinned }) => pinned.delete(`/run/netns/${podId}`)]
  ] satisfies ReadonlyArray<readonly [string, Partial<PodRecord>, (world: World) => unknown]>) {
    it.effect(`a pod is not ready when ${what}`, () =>
      recovering(
        { pods: [podRecord(patch)] },
        () =>
          Effect.gen(function* () {
            assert.strictEqual((yield* stateOf(podId))?._tag, "NotReady")
          }),
        (world) => void prepare(world)
      )
    )
  }

  it.effect("a container without its pod is removed", () =>
    recovering(
      { containers: [containerRecord()] },
      ({ done }) =>
        Effect.gen(function* () {
          assert.strictEqual(yield* stateOf(containerId), undefined)
          assert.include(done, "layer cccc")
        }),
      ({ host }) => (host.onSignal = () => host.exit(100, containerId, 137))
    )
  )

  it.effect(
    "a damaged record is given back by its id; a stray file names nothing, least of all every pod's directory",
    () => {
      const damaged = (id: string): DamagedRecord => ({ kind: "pods", id, path: `/var/${id}.json`, reason: "cut off" })
      return recovering({ damaged: [damaged(podId), damaged(""), damaged("..")] }, ({ done }) =>
        Effect.sync(() => {
          assert.includeMembers(done, [`aside /var/${podId}.json`, "aside /var/.json", "aside /var/...json"])
          assert.includeMembers(done, ["DEL aaaa", `unpin /run/netns/${podId}`])
          assert.deepStrictEqual(
            done.filter((what) => what.startsWith("tree")),
            [`tree /run/cricket/pods/${podId}`]
          )
        })
      )
    }
  )

  it.effect("a damaged record of a container is given back with the images that were mounted for it", () =>
    recovering(
      {
        damaged: [{ kind: "containers", id: containerId, path: "/var/c.json", reason: "cut off" }],
        stored: [
          ["e".repeat(64), JSON.stringify({ "volume-of": containerId })],
          ["f".repeat(64), JSON.stringify({ "volume-of": "another" })],
          ["d".repeat(64), "not JSON"]
        ]
      },
      ({ done }) =>
        Effect.sync(() => {
          assert.includeMembers(done, ["layer cccc", "layer eeee", "aside /var/c.json"])
          assert.notIncludeMembers(done, ["layer ffff", "layer dddd"])
        })
    )
  )

  it.effect("one object that cannot be looked at keeps its record; the others are served", () =>
    recovering(
      {
        pods: [podRecord(), podRecord({ id: "b".repeat(64), name: "b", bootId: otherBoot })],
        containers: [containerRecord()]
      },
      () =>
        Effect.gen(function* () {
          assert.strictEqual((yield* stateOf(podId))?._tag, "Ready")
          assert.strictEqual((yield* stateOf("b".repeat(64)))?._tag, "NotReady")
        }),
      ({ host }) => {
        host.findFails = new LinuxError({ operation: "find", subject: "process 100", code: "EIO" })
      }
    )
  )

  it.effect("a process that ends later, unseen by any monitor, is found", () =>
    recovering({ pods: [podRecord()], containers: [containerRecord()] }, ({ host }) =>
      Effect.gen(function* () {
        host.processes.clear()
        host.monitors.clear()
        yield* TestClock.adjust("11 seconds")
        assert.deepInclude((yield* stateOf(containerId)) as object, { _tag: "Exited", exitCode: 255 })
      })
    )
  )
})
