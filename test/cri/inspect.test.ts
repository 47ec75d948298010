import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Settings } from "../../src/config/Settings.ts"
import { makeRouter } from "../../src/cri/http.ts"
import { inspectContainer, inspectDaemon } from "../../src/cri/inspect.ts"
import { Pods } from "../../src/pod/Pods.ts"
import { ContainerStore } from "../../src/store/ContainerStore.ts"
import { containerId, containerRecord, podId, podRecord } from "../pod/support/host.ts"

const running = containerRecord({ image: { ...containerRecord().image, name: "docker.io/library/busybox:1" } })
const ended = containerRecord({
  id: "d".repeat(64),
  state: { _tag: "Exited", startedAtNs: 5n, finishedAtNs: 9n, exitCode: 0, reason: "Completed", message: "" }
})
const sharing = podRecord({ id: "b".repeat(64), name: "k8s_POD_sharing", pause: { pid: 77, startTime: 5 } })
const making = containerRecord({ id: "e".repeat(64), state: { _tag: "Creating" } })

const layer = Layer.mergeAll(
  Settings.layerTest({ crio: { root: "/store" }, runtime: { cgroup_manager: "cgroupfs" } }),
  Layer.mock(Pods, {
    snapshot: Effect.succeed({
      pods: new Map([podRecord(), sharing].map((record) => [record.id, record])),
      containers: new Map([running, ended, making].map((record) => [record.id, record]))
    })
  }),
  Layer.mock(ContainerStore, {
    list: Effect.succeed([
      { id: containerId, names: [], imageId: "", layerId: "7".repeat(64), metadata: "", createdMs: 0 }
    ]),
    mountpoint: "/store",
    directory: (id) => id,
    runDirectory: (id) => id
  })
)

const get = (path: string, method = "GET") =>
  Effect.provide(makeRouter({ "/info": inspectDaemon, "/containers/": inspectContainer })(method, path), layer)
const json = (path: string) => Effect.map(get(path), ({ body }) => JSON.parse(body) as Record<string, unknown>)

describe("what cAdvisor asks of the socket", () => {
  it.effect("where the store lies", () =>
    Effect.gen(function* () {
      assert.deepInclude(yield* json("/info"), {
        storage_driver: "overlay",
        storage_root: "/store",
        cgroup_driver: "cgroupfs"
      })
    })
  )

  it.effect("what a container is, by its id or the beginning of it", () =>
    Effect.gen(function* () {
      const expected = {
        name: running.name,
        pid: 100,
        image: "docker.io/library/busybox:1",
        image_ref: running.image.ref,
        labels: running.labels,
        log_path: running.logPath,
        root: `/store/overlay/${"7".repeat(64)}/merged`,
        sandbox: podId,
        ip_addresses: ["10.88.0.2", "fd00::2"],
        host_network: false
      }
      for (const id of [containerId, "ccc"]) assert.deepInclude(yield* json(`/containers/${id}`), expected)
      const { created_time } = yield* json(`/containers/${containerId}`)
      assert.strictEqual(Math.floor(Number(created_time) / 1e9), 1_700_000_001)
    })
  )

  it.effect("a pause container, which has the id of its pod; pods without one are not found", () =>
    Effect.gen(function* () {
      const told = yield* json(`/containers/${sharing.id}`)
      assert.deepInclude(told, { name: "k8s_POD_sharing", pid: 77, sandbox: sharing.id })
      assert.deepEqual(told["labels"], { app: "web", "io.kubernetes.container.name": "POD" })
      assert.strictEqual((yield* get(`/containers/${podId}`)).status, 404)
    })
  )

  it.effect("an ended one has no process; unknown ones and those half made are not found", () =>
    Effect.gen(function* () {
      assert.deepInclude(yield* json(`/containers/${ended.id}`), { pid: 0, root: "" })
      for (const id of ["0".repeat(64), making.id]) {
        const { status, body } = yield* get(`/containers/${id}`)
        assert.deepStrictEqual([status, body], [404, `can't find the container with id ${id}\n`])
      }
      for (const path of ["/containers", "/containers/", "/containers/a/b", "/info/", "/infos"]) {
        const { status, body } = yield* get(path)
        assert.deepStrictEqual([status, body.slice(0, 7)], [404, "nothing"], path)
      }
      assert.strictEqual((yield* get(`/containers/${containerId}`, "POST")).status, 405)
    })
  )
})
