/** Filters of the lists and of their streams, from outside: every field, alone and together (CRI …Filter). */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { listContainers } from "../../../src/cri/runtime/listContainers.ts"
import { listPodSandbox } from "../../../src/cri/runtime/listPodSandbox.ts"
import { streamContainers } from "../../../src/cri/runtime/streamContainers.ts"
import { streamPodSandboxes } from "../../../src/cri/runtime/streamPodSandboxes.ts"
import {
  ContainerState,
  ListContainersResponse,
  ListPodSandboxResponse,
  PodSandboxState,
  StreamContainersResponse,
  StreamPodSandboxesResponse
} from "../../../src/gen/runtime/v1/api.ts"
import type { ContainerRecord } from "../../../src/pod/ContainerRecord.ts"
import type { PodRecord } from "../../../src/pod/PodRecord.ts"
import { Pods } from "../../../src/pod/Pods.ts"
import { containerRecord, Host, podRecord } from "../../pod/support/host.ts"
import { decodeStrictly } from "../strictUtf8.ts"

const id = (start: string): string => start.padEnd(64, "0")
const process = { pid: 100, startTime: 7 }
const exited = { startedAtNs: 1n, finishedAtNs: 2n, exitCode: 0, reason: "Completed", message: "" }

const pod = (name: string, state: PodRecord["state"], labels: PodRecord["labels"] = {}) =>
  podRecord({ id: id(name), state, labels })
const container = (
  name: string,
  podId: string,
  state: ContainerRecord["state"],
  labels: ContainerRecord["labels"] = {}
) => containerRecord({ id: id(name), podId: id(podId), state, labels })

const pods = [
  pod("a1", { _tag: "Ready" }, { app: "web", tier: "front" }),
  pod("a2", { _tag: "Ready" }, { app: "web" }),
  pod("b1", { _tag: "NotReady", reason: "stopped" }, { app: "web", tier: "front" }),
  pod("b2", { _tag: "Stopping" }),
  pod("b3", { _tag: "Starting" }, { app: "web" })
]
const containers = [
  container("c1", "a1", { _tag: "Created", ...process }, { tier: "front", name: "" }),
  container("c2", "a1", { _tag: "Running", ...process, startedAtNs: 1n }, { tier: "front" }),
  container("c3", "a2", { _tag: "Exited", ...exited }, { tier: "back" }),
  container("c4", "b2", { _tag: "Stopping", ...process, startedAtNs: 1n, deadlineMs: 0 }),
  container("c5", "a1", { _tag: "Creating" }, { tier: "front" })
]

const world = Effect.flatMap(Pods, (service) => service.adopt(pods, containers))
const layer = Layer.fresh(new Host().layer)

const short = (ids: ReadonlyArray<string>) => ids.map((one) => one.slice(0, 2))

describe("ListContainers and StreamContainers", () => {
  const blank = { id: "", podSandboxId: "", labelSelector: {}, state: undefined }
  const state = (value: ContainerState) => ({ state: { state: value } })
  const cases: ReadonlyArray<readonly [string, object | undefined, ReadonlyArray<string>]> = [
    ["no filter: everything but what is being created", undefined, ["c1", "c2", "c3", "c4"]],
    ["an empty filter is the same", {}, ["c1", "c2", "c3", "c4"]],
    ["state 0 is a question", state(ContainerState.CONTAINER_CREATED), ["c1"]],
    ["running until it has exited", state(ContainerState.CONTAINER_RUNNING), ["c2", "c4"]],
    ["exited", state(ContainerState.CONTAINER_EXITED), ["c3"]],
    ["nothing is unknown", state(ContainerState.CONTAINER_UNKNOWN), []],
    ["an id", { id: id("c2") }, ["c2"]],
    ["the beginning of an id", { id: "c2000" }, ["c2"]],
    ["an unknown id is no error", { id: id("ff") }, []],
    ["an id that is longer than all", { id: `${id("c2")}0` }, []],
    ["one that is being created is not there", { id: id("c5") }, []],
    ["a pod", { podSandboxId: id("a1") }, ["c1", "c2"]],
    ["the beginning of a pod's id", { podSandboxId: "a2" }, ["c3"]],
    ["an unknown pod", { podSandboxId: id("ff") }, []],
    ["a label", { labelSelector: { tier: "front" } }, ["c1", "c2"]],
    ["an empty value is a value", { labelSelector: { name: "" } }, ["c1"]],
    ["every label", { labelSelector: { tier: "front", name: "x" } }, []],
    ["all fields together", { id: "c", podSandboxId: "a1", ...state(0), labelSelector: { tier: "front" } }, ["c1"]],
    ["all but one", { id: "c2", podSandboxId: "a1", ...state(0), labelSelector: { tier: "front" } }, []]
  ]
  for (const [name, patch, expected] of cases) {
    it.effect(name, () =>
      Effect.gen(function* () {
        yield* world
        const filter = patch === undefined ? undefined : { ...blank, ...patch }
        const response = yield* listContainers({ filter })
        assert.deepStrictEqual(short(response.containers.map((one) => one.id)), expected)
        const messages = yield* Stream.runCollect(streamContainers({ filter }))
        const streamed = messages.flatMap(({ bytes }) => StreamContainersResponse.decode(bytes).containers)
        assert.deepStrictEqual(streamed, response.containers)
        assert.lengthOf(messages, expected.length === 0 ? 0 : 1)
      }).pipe(Effect.provide(layer))
    )
  }
})

describe("ListPodSandbox and StreamPodSandboxes", () => {
  const blank = { id: "", labelSelector: {}, state: undefined }
  const state = (value: PodSandboxState) => ({ state: { state: value } })
  const cases: ReadonlyArray<readonly [string, object | undefined, ReadonlyArray<string>]> = [
    ["no filter: everything but what is starting, also what is not ready", undefined, ["a1", "a2", "b1", "b2"]],
    ["an empty filter is the same", {}, ["a1", "a2", "b1", "b2"]],
    ["state 0 is a question", state(PodSandboxState.SANDBOX_READY), ["a1", "a2"]],
    ["not ready, from the first moment of its stop", state(PodSandboxState.SANDBOX_NOTREADY), ["b1", "b2"]],
    ["an id", { id: id("b1") }, ["b1"]],
    ["the beginning of an id", { id: "b10" }, ["b1"]],
    ["an unknown id is no error", { id: id("ff") }, []],
    ["one that is starting is not there", { id: id("b3") }, []],
    ["a label", { labelSelector: { app: "web" } }, ["a1", "a2", "b1"]],
    ["every label", { labelSelector: { app: "web", tier: "front" } }, ["a1", "b1"]],
    ["all fields together", { id: "b", ...state(1), labelSelector: { tier: "front" } }, ["b1"]],
    ["all but one", { id: "b", ...state(0), labelSelector: { tier: "front" } }, []]
  ]
  for (const [name, patch, expected] of cases) {
    it.effect(name, () =>
      Effect.gen(function* () {
        yield* world
        const filter = patch === undefined ? undefined : { ...blank, ...patch }
        const response = yield* listPodSandbox({ filter })
        assert.deepStrictEqual(short(response.items.map((one) => one.id)), expected)
        const messages = yield* Stream.runCollect(streamPodSandboxes({ filter }))
        const streamed = messages.flatMap(({ bytes }) => StreamPodSandboxesResponse.decode(bytes).podSandboxes)
        assert.deepStrictEqual(streamed, response.items)
      }).pipe(Effect.provide(layer))
    )
  }
})

describe("strings", () => {
  it.effect("that are not Unicode do not make Go refuse the whole list", () =>
    Effect.gen(function* () {
      const lone = "a\ud800b"
      const record = containerRecord({
        labels: { [lone]: lone },
        annotations: { x: "\udfff" },
        state: { _tag: "Exited", ...exited, reason: "Error", message: lone }
      })
      yield* (yield* Pods).adopt([podRecord({ labels: { [lone]: lone }, hostname: lone })], [record])
      const list = yield* listContainers({ filter: undefined })
      const read = decodeStrictly(ListContainersResponse, ListContainersResponse.encode(list).finish())
      assert.deepStrictEqual(read.containers[0]?.labels, { "a\ufffdb": "a\ufffdb" })
      const podList = yield* listPodSandbox({ filter: undefined })
      decodeStrictly(ListPodSandboxResponse, ListPodSandboxResponse.encode(podList).finish())
      for (const { bytes } of yield* Stream.runCollect(streamContainers({ filter: undefined }))) {
        decodeStrictly(StreamContainersResponse, bytes)
      }
    }).pipe(Effect.provide(layer))
  )
})
