import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { Cgroups } from "../../src/cgroup/Cgroups.ts"
import { Cni } from "../../src/cni/Cni.ts"
import { Conmon } from "../../src/conmon/Conmon.ts"
import { Files } from "../../src/linux/Files.ts"
import { LinuxError } from "../../src/linux/LinuxError.ts"
import { Mounts } from "../../src/linux/Mounts.ts"
import { Namespaces } from "../../src/linux/Namespaces.ts"
import { Processes } from "../../src/linux/Processes.ts"
import { UnknownRuntimeHandler } from "../../src/oci/OciError.ts"
import { OciRuntime } from "../../src/oci/OciRuntime.ts"
import { RuntimeHandlers } from "../../src/oci/RuntimeHandlers.ts"
import { Jobs } from "../../src/pod/Jobs.ts"
import { Pods } from "../../src/pod/Pods.ts"
import type { PodRecord } from "../../src/pod/PodRecord.ts"
import { Releases } from "../../src/pod/Releases.ts"
import { type Resource, standsOn } from "../../src/pod/Resource.ts"
import { rollBack } from "../../src/pod/rollBack.ts"
import { stopPod } from "../../src/pod/stopPod.ts"
import { removePod } from "../../src/pod/remove.ts"
import { ContainerStore } from "../../src/store/ContainerStore.ts"
import { Host, podId, podRecord } from "./support/host.ts"

const netns = `/run/netns/${podId}`
const directory = `/run/cricket/pods/${podId}`
const row = {
  directory: { _tag: "Directory", path: directory },
  mount: { _tag: "Mount", path: `${directory}/shm` },
  netns: { _tag: "Namespace", path: netns },
  ipcns: { _tag: "Namespace", path: `/run/ipcns/${podId}` },
  network: {
    _tag: "Network",
    attachment: {
      podId,
      podName: "web",
      podNamespace: "default",
      podUid: "uid-1",
      netnsPath: netns,
      interfaceName: "eth0",
      portMappings: [],
      annotations: {}
    }
  },
  layer: { _tag: "Layer", containerId: podId },
  volume: { _tag: "ImageVolume", volumeId: "e".repeat(64), containerId: podId },
  runtime: { _tag: "Runtime", containerId: podId, handler: "crun", bundle: `${directory}/pause`, cgroup: "/crio/p" },
  cgroup: { _tag: "Cgroup", path: "/crio" }
} satisfies Record<string, Resource>

/** In the order of taking. */
const everything: ReadonlyArray<Resource> = [
  row.cgroup,
  row.directory,
  row.mount,
  row.ipcns,
  row.netns,
  row.network,
  row.layer,
  row.runtime
]

/** Notes what is given back; a name in `broken` says how that goes wrong. */
const makeWorld = (patch: Partial<PodRecord> = {}) => {
  const host = new Host()
  const done: Array<string> = []
  const broken = new Map<string, Effect.Effect<never, LinuxError>>()
  const give = (what: string) =>
    Effect.suspend(() => {
      const fault = broken.get(what)
      if (fault !== undefined) return fault
      done.push(what)
      return Effect.void
    })
  const seam = Layer.mergeAll(
    Layer.mock(Files, { removeTree: (path) => give(`tree ${path}`) }),
    Layer.mock(Mounts, { unmount: (path) => give(`unmount ${path}`) }),
    Layer.mock(Namespaces, { unpin: (path) => give(`unpin ${path}`) }),
    Layer.mock(Processes, {}),
    Layer.mock(Cni, { del: () => give("DEL") as Effect.Effect<void> }),
    Layer.mock(Cgroups, {
      version: 2,
      killAll: (path) => give(`kill ${path}`),
      remove: (path) => give(`remove ${path}`),
      removeIfEmpty: (path) => give(`remove ${path} if empty`)
    }),
    Layer.mock(ContainerStore, {
      directory: (id) => `/store/${id}`,
      runDirectory: (id) => `/run/${id}`,
      mountpoint: "/store",
      remove: () => give("layer") as Effect.Effect<void>
    }),
    Layer.mock(Conmon, { cleanup: () => give("monitor") as Effect.Effect<void> }),
    Layer.mock(OciRuntime, { delete: () => give("runtime delete") as Effect.Effect<void> }),
    Layer.mock(RuntimeHandlers, { get: (name) => Effect.fail(new UnknownRuntimeHandler({ handler: name, known: [] })) })
  )
  const layer = Releases.layer.pipe(
    Layer.provideMerge(Layer.mergeAll(Jobs.layer, Pods.layer)),
    Layer.provideMerge(Layer.mergeAll(host.records, host.settings, seam))
  )
  const adopt = Effect.flatMap(Pods, (pods) => pods.adopt([podRecord({ resources: everything, ...patch })], []))
  return { host, done, broken, layer, adopt }
}

const fails = (code: string) => Effect.fail(new LinuxError({ operation: "release", subject: "it", code }))
const rowsNow = Effect.gen(function* () {
  return (yield* (yield* Pods).pod(podId)).resources.map(({ _tag }) => _tag)
})

describe("what stands on what", () => {
  const pairs: ReadonlyArray<readonly [keyof typeof row, keyof typeof row]> = [
    ["network", "netns"],
    ["mount", "directory"],
    ["runtime", "directory"],
    ["runtime", "layer"],
    ["runtime", "volume"]
  ]
  for (const upper of Object.keys(row) as ReadonlyArray<keyof typeof row>) {
    for (const lower of Object.keys(row) as ReadonlyArray<keyof typeof row>) {
      const expected = pairs.some(([above, below]) => above === upper && below === lower)
      if (expected) it(`${upper} stands on ${lower}`, () => assert.isTrue(standsOn(row[upper], row[lower])))
      else it(`${upper} does not hold up ${lower}`, () => assert.isFalse(standsOn(row[upper], row[lower])))
    }
  }
})

describe("release", () => {
  it.effect(
    "last taken first: DEL before the namespace, unmount before the directory, processes before their layer",
    () => {
      const world = makeWorld()
      return Effect.gen(function* () {
        yield* world.adopt
        yield* (yield* Releases).release(podId, everything)
        assert.deepStrictEqual(world.done, [
          "monitor",
          "kill /crio/p",
          "remove /crio/p",
          "layer",
          "DEL",
          `unpin ${netns}`,
          `unpin /run/ipcns/${podId}`,
          `unmount ${directory}/shm`,
          `tree ${directory}`,
          "remove /crio if empty"
        ])
        assert.deepStrictEqual(yield* rowsNow, [])
        assert.deepStrictEqual(world.host.saved.get(podId)?.resources, [])
      }).pipe(Effect.provide(world.layer))
    }
  )

  it.effect("a monitor's own cgroup goes last, with whatever is left in it", () => {
    const runtime = { ...row.runtime, monitorCgroup: "/kube/pod/crio-conmon-p" }
    const world = makeWorld({ resources: [row.layer, runtime] })
    world.broken.set("remove /kube/pod/crio-conmon-p", fails("EBUSY"))
    return Effect.gen(function* () {
      yield* world.adopt
      const release = Effect.flatMap(Releases, ({ release }) => release(podId, [row.layer, runtime]))
      yield* Effect.flip(release)
      assert.deepStrictEqual(yield* rowsNow, ["Layer", "Runtime"])
      world.broken.clear()
      world.done.length = 0
      yield* release
      assert.deepStrictEqual(world.done, [
        "monitor",
        "kill /crio/p",
        "remove /crio/p",
        "kill /kube/pod/crio-conmon-p",
        "remove /kube/pod/crio-conmon-p",
        "layer"
      ])
      assert.deepStrictEqual(yield* rowsNow, [])
    }).pipe(Effect.provide(world.layer))
  })

  it.effect("a failure keeps its row and those below it; all others go", () => {
    const world = makeWorld()
    world.broken.set("DEL", fails("EIO"))
    return Effect.gen(function* () {
      yield* world.adopt
      const error = yield* Effect.flip((yield* Releases).release(podId, everything))
      assert.strictEqual(error._tag, "ReleaseFailed")
      assert.include(error.message, `Network eth0 of pod ${podId}`)
      assert.deepStrictEqual(yield* rowsNow, ["Namespace", "Network"])
      assert.notInclude(world.done, `unpin ${netns}`)
      world.broken.clear()
      yield* (yield* Releases).release(podId, (yield* (yield* Pods).pod(podId)).resources)
      assert.deepStrictEqual(world.done.slice(-2), ["DEL", `unpin ${netns}`])
    }).pipe(Effect.provide(world.layer))
  })

  it.effect("a defect in one release does not cost the others theirs", () => {
    const world = makeWorld()
    world.broken.set(`unmount ${directory}/shm`, Effect.die(new Error("a bug")))
    return Effect.gen(function* () {
      yield* world.adopt
      const error = yield* Effect.flip((yield* Releases).release(podId, everything))
      assert.include(error.message, "a bug")
      assert.deepStrictEqual(yield* rowsNow, ["Directory", "Mount"])
    }).pipe(Effect.provide(world.layer))
  })

  it.effect("a mount point that is none any more is released; what hangs is given up after its bound", () => {
    const world = makeWorld()
    world.broken.set(`unmount ${directory}/shm`, fails("EINVAL"))
    world.broken.set(`unpin ${netns}`, Effect.never)
    return Effect.gen(function* () {
      yield* world.adopt
      const releases = yield* Releases
      const releasing = yield* Effect.forkChild(Effect.flip(releases.release(podId, everything)), {
        startImmediately: true
      })
      yield* TestClock.adjust("9 seconds")
      assert.isUndefined(releasing.pollUnsafe())
      yield* TestClock.adjust("2 seconds")
      assert.include((yield* Fiber.join(releasing)).message, "not done in 10s")
      assert.deepStrictEqual(yield* rowsNow, ["Namespace"])
    }).pipe(Effect.provide(world.layer))
  })

  it.effect("goes on when whoever asked is interrupted", () => {
    const world = makeWorld()
    return Effect.gen(function* () {
      yield* world.adopt
      world.broken.set("layer", Effect.never)
      const asking = yield* Effect.forkChild(Effect.ignore((yield* Releases).release(podId, everything)), {
        startImmediately: true
      })
      const leaving = yield* Effect.forkChild(Fiber.interrupt(asking), { startImmediately: true })
      yield* TestClock.adjust("59 seconds")
      assert.isUndefined(leaving.pollUnsafe())
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(leaving)
      assert.deepStrictEqual(yield* rowsNow, ["Layer"])
    }).pipe(Effect.provide(world.layer))
  })
})

describe("clean-ups that fail", () => {
  const waits = Effect.flatMap(Jobs, ({ list }) => Effect.map(list, (all) => all.map(({ name }) => name)))

  it.effect("stopping a pod is tried again with growing pauses, once per pod, until its DEL succeeds", () => {
    const world = makeWorld()
    let attempts = 0
    world.broken.set(
      "DEL",
      Effect.suspend(() => {
        attempts++
        return fails("EIO")
      })
    )
    return Effect.gen(function* () {
      yield* world.adopt
      for (let request = 0; request < 3; request++) yield* Effect.flip(stopPod(podId))
      assert.deepStrictEqual(yield* waits, [`stop pod ${podId}, tried again`])
      const asked = attempts
      yield* TestClock.adjust("7 seconds")
      assert.strictEqual(attempts - asked, 3)
      yield* TestClock.adjust("1 hour")
      assert.isBelow(attempts - asked, 80)
      world.broken.clear()
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* rowsNow, ["Cgroup", "Directory"])
      assert.deepStrictEqual((yield* (yield* Pods).pod(podId)).state, { _tag: "NotReady", reason: "stopped" })
      assert.deepStrictEqual(yield* waits, [])
    }).pipe(Effect.provide(world.layer))
  })

  it.effect("nothing is tried again for a pod that has been removed meanwhile", () => {
    const world = makeWorld()
    world.broken.set("DEL", fails("EIO"))
    return Effect.gen(function* () {
      yield* world.adopt
      yield* Effect.flip(stopPod(podId))
      world.broken.clear()
      yield* removePod(podId)
      assert.isFalse(world.host.saved.has(podId))
      assert.deepStrictEqual(yield* waits, [`stop pod ${podId}, tried again`])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* waits, [])
    }).pipe(Effect.provide(world.layer))
  })

  it.effect("a defect is tried again too; an interruption is not", () => {
    const world = makeWorld()
    return Effect.gen(function* () {
      const releases = yield* Releases
      const died = yield* Effect.exit(releases.insist("one", Effect.die(new Error("a bug"))))
      assert.isTrue(Exit.isFailure(died) && Cause.hasDies(died.cause))
      yield* Effect.exit(releases.insist("two", Effect.interrupt))
      assert.deepStrictEqual(yield* waits, ["one, tried again"])
    }).pipe(Effect.provide(world.layer))
  })
})

describe("rollBack", () => {
  it.effect("leaves nothing: rows, record and name", () => {
    const world = makeWorld({ state: { _tag: "Starting" } })
    return Effect.gen(function* () {
      yield* world.adopt
      yield* rollBack(podId, "no network")
      assert.isFalse((yield* (yield* Pods).snapshot).pods.has(podId))
    }).pipe(Effect.provide(world.layer))
  })

  it.effect("what cannot be given back is shown as a failed pod, and removed as soon as it can be", () => {
    const world = makeWorld({ state: { _tag: "Starting" } })
    world.broken.set("DEL", fails("EIO"))
    return Effect.gen(function* () {
      yield* world.adopt
      yield* rollBack(podId, "no network")
      const pods = yield* Pods
      assert.deepStrictEqual((yield* pods.pod(podId)).state, { _tag: "NotReady", reason: "no network" })
      yield* TestClock.adjust("10 seconds")
      assert.isTrue((yield* pods.snapshot).pods.has(podId))
      world.broken.clear()
      yield* TestClock.adjust("1 minute")
      assert.isFalse((yield* pods.snapshot).pods.has(podId))
      assert.deepStrictEqual(yield* Effect.flatMap(Jobs, ({ list }) => list), [])
    }).pipe(Effect.provide(world.layer))
  })
})
