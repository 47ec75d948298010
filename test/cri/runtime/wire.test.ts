import { assert, describe, it } from "@effect/vitest"
import { containerMatches, toContainer, toContainerStatus } from "../../../src/cri/runtime/containerWire.ts"
import { podMatches, toPodSandbox, toPodSandboxStatus } from "../../../src/cri/runtime/podWire.ts"
import {
  ContainerState as Wire,
  ContainerStatus,
  Container,
  NamespaceMode,
  PodSandboxState,
  PodSandboxStatus,
  Signal
} from "../../../src/gen/runtime/v1/api.ts"
import type { ContainerRecord } from "../../../src/pod/ContainerRecord.ts"
import type { ContainerState } from "../../../src/pod/ContainerState.ts"
import { containerId, containerRecord, podId, podRecord } from "../../pod/support/host.ts"

const identity = { pid: 100, startTime: 7 }
const states: Record<string, readonly [ContainerState, Wire]> = {
  created: [{ _tag: "Created", ...identity }, Wire.CONTAINER_CREATED],
  running: [{ _tag: "Running", ...identity, startedAtNs: 5n }, Wire.CONTAINER_RUNNING],
  "stopping after its start": [
    { _tag: "Stopping", ...identity, startedAtNs: 5n, deadlineMs: 1 },
    Wire.CONTAINER_RUNNING
  ],
  "stopping, never started": [
    { _tag: "Stopping", ...identity, startedAtNs: 0n, deadlineMs: 1 },
    Wire.CONTAINER_CREATED
  ],
  exited: [
    { _tag: "Exited", startedAtNs: 5n, finishedAtNs: 9n, exitCode: 137, reason: "OOMKilled", message: "why" },
    Wire.CONTAINER_EXITED
  ]
}

describe("containers on the wire", () => {
  for (const [name, [state, expected]] of Object.entries(states)) {
    it(`a container ${name}`, () => {
      const record = containerRecord({ state })
      const status = ContainerStatus.decode(ContainerStatus.encode(toContainerStatus(record)).finish())
      assert.strictEqual(status.state, expected)
      assert.strictEqual(toContainer(record).state, expected)
      const exited = state._tag === "Exited"
      assert.strictEqual(status.finishedAt, exited ? 9n : 0n, "finished_at is set if and only if it has exited")
      assert.strictEqual(status.startedAt, name.includes("never") || name === "created" ? 0n : 5n)
      assert.deepStrictEqual(
        [status.exitCode, status.reason, status.message],
        exited ? [137, "OOMKilled", "why"] : [0, "", ""]
      )
    })
  }

  it("times are nanoseconds, labels and annotations are as given, the image is named as kubelet needs it", () => {
    const record = containerRecord({ labels: { ключ: "wert" }, annotations: { a: "" } })
    const status = ContainerStatus.decode(ContainerStatus.encode(toContainerStatus(record)).finish())
    assert.strictEqual(status.createdAt, 1_700_000_001_000_000_000n)
    assert.deepStrictEqual([status.labels, status.annotations], [record.labels, record.annotations])
    assert.deepInclude(status.image as object, { image: record.image.requested, userSpecifiedImage: "busybox:1" })
    assert.strictEqual(status.imageId, record.image.id)
    assert.match(status.imageRef, /@sha256:/)
    assert.strictEqual(status.logPath, record.logPath)
    assert.strictEqual(status.stopSignal, Signal.SIGNAL_SIGTERM)
    const listed = Container.decode(Container.encode(toContainer(record)).finish())
    assert.deepStrictEqual([listed.imageId, listed.podSandboxId], [record.image.id, podId])
  })

  it("an image that kubelet asked for by id is shown by its name", () => {
    const name = "docker.io/library/busybox:1"
    const record = containerRecord({ image: { ...containerRecord().image, name } })
    assert.deepInclude(toContainerStatus(record).image as object, { image: name, userSpecifiedImage: "busybox:1" })
  })

  it("echoes host paths of mounts, by which kubelet finds the termination log", () => {
    const mount = {
      containerPath: "/dev/termination-log",
      hostPath: "/var/lib/kubelet/pods/uid-1/containers/app/0",
      readonly: false,
      selinuxRelabel: true,
      propagation: 1,
      recursiveReadOnly: false,
      mountOptions: []
    }
    const [echoed] = toContainerStatus(containerRecord({ mounts: [mount] })).mounts
    assert.isDefined(echoed)
    assert.deepInclude(echoed as object, mount)
  })

  it("echoes image mounts with the digest of what is mounted, and where in it", () => {
    const image = {
      image: "quay.io/a/models:1",
      userSpecifiedImage: "models:1",
      runtimeHandler: "",
      annotations: {},
      imageRef: `quay.io/a/models@sha256:${"1".repeat(64)}`
    }
    const mount = {
      containerPath: "/models",
      hostPath: "",
      readonly: true,
      selinuxRelabel: false,
      propagation: 0,
      recursiveReadOnly: false,
      mountOptions: []
    }
    const [echoed] = toContainerStatus(
      containerRecord({ mounts: [{ ...mount, image: { ...image, subPath: "a/b" } }] })
    ).mounts
    assert.deepStrictEqual(echoed, { ...mount, image, imageSubPath: "a/b", uidMappings: [], gidMappings: [] } as never)
  })

  it("echoes limits, large ones exactly", () => {
    const limits: ContainerRecord["limits"] = {
      cpuPeriod: 100_000n,
      cpuQuota: -1n,
      cpuShares: 2n,
      memoryLimitInBytes: 9_007_199_254_740_993n,
      oomScoreAdj: -997n,
      cpusetCpus: "0-1",
      cpusetMems: "",
      hugepageLimits: [{ pageSize: "2MB", limit: 1n << 62n }],
      unified: { "memory.high": "1" },
      memorySwapLimitInBytes: 0n
    }
    const status = ContainerStatus.decode(
      ContainerStatus.encode(toContainerStatus(containerRecord({ limits }))).finish()
    )
    assert.deepInclude(status.resources?.linux as object, limits as object)
    assert.isUndefined(toContainerStatus(containerRecord()).resources)
  })
})

describe("container filters", () => {
  const blank = { id: "", podSandboxId: "", labelSelector: {}, state: undefined }
  const created = containerRecord({ state: { _tag: "Created", ...identity } })
  const running = containerRecord()
  const cases: ReadonlyArray<
    readonly [string, ContainerRecord, Partial<typeof blank> | { state: { state: Wire } }, boolean]
  > = [
    ["nothing asked", running, {}, true],
    ["state 0 is a question", running, { state: { state: Wire.CONTAINER_CREATED } }, false],
    ["state 0 finds what is created", created, { state: { state: Wire.CONTAINER_CREATED } }, true],
    ["its id", running, { id: containerId }, true],
    ["the beginning of its id", running, { id: containerId.slice(0, 12) }, true],
    ["another id", running, { id: "d" }, false],
    ["its pod", running, { podSandboxId: podId }, true],
    ["another pod", running, { podSandboxId: "d" }, false],
    ["a label it has", running, { labelSelector: { tier: "front" } }, true],
    ["a label with another value", running, { labelSelector: { tier: "back" } }, false],
    ["one label of two", running, { labelSelector: { tier: "front", more: "" } }, false],
    ["a name that every object has", running, { labelSelector: { constructor: "x" } }, false],
    ["all must hold", running, { id: containerId, podSandboxId: "d" }, false]
  ]
  for (const [name, record, filter, expected] of cases) {
    it(name, () => assert.strictEqual(containerMatches(record, { ...blank, ...filter }), expected))
  }
  it("no filter", () => assert.isTrue(containerMatches(running, undefined)))
})

describe("pods on the wire", () => {
  it("a ready pod has its addresses, the first one apart", () => {
    const status = PodSandboxStatus.decode(PodSandboxStatus.encode(toPodSandboxStatus(podRecord())).finish())
    assert.strictEqual(status.state, PodSandboxState.SANDBOX_READY)
    assert.strictEqual(status.network?.ip, "10.88.0.2")
    assert.deepStrictEqual(status.network?.additionalIps, [{ ip: "fd00::2" }])
    assert.strictEqual(status.createdAt, 1_700_000_000_123_456_789n)
  })

  for (const state of [{ _tag: "Stopping" }, { _tag: "NotReady", reason: "stopped" }] as const) {
    it(`a ${state._tag} pod is not ready and has no addresses`, () => {
      const status = toPodSandboxStatus(podRecord({ state }))
      assert.strictEqual(status.state, PodSandboxState.SANDBOX_NOTREADY)
      assert.deepStrictEqual(status.network, { ip: "", additionalIps: [] })
      assert.strictEqual(toPodSandbox(podRecord({ state })).state, PodSandboxState.SANDBOX_NOTREADY)
    })
  }

  it("echoes its user namespace, and the volumes that are mapped for it", () => {
    const range = [{ containerId: 0, hostId: 70_000, length: 65_536 }]
    const ids = { uids: range, gids: range }
    const optionsOf = (user: typeof ids | null) =>
      toPodSandboxStatus(podRecord({ namespaces: { network: "pod", pid: "container", ipc: "pod", user } })).linux
        ?.namespaces?.options?.usernsOptions
    assert.deepStrictEqual(optionsOf(ids), { mode: NamespaceMode.POD, ...ids })
    assert.deepStrictEqual(optionsOf(null), { mode: NamespaceMode.NODE, uids: [], gids: [] })
    const mount = {
      containerPath: "/v",
      hostPath: "/h",
      readonly: false,
      selinuxRelabel: false,
      propagation: 0,
      recursiveReadOnly: false,
      mountOptions: []
    }
    const { mounts } = toContainerStatus(containerRecord({ mounts: [{ ...mount, mappings: ids }, mount] }))
    assert.deepStrictEqual(
      mounts.map(({ uidMappings, gidMappings }) => [uidMappings, gidMappings]),
      [
        [range, range],
        [[], []]
      ]
    )
  })

  it("echoes its namespaces: another network mode makes kubelet replace the pod", () => {
    const namespaces = { network: "node", pid: "node", ipc: "pod", user: null } as const
    const options = toPodSandboxStatus(podRecord({ namespaces, ips: [] })).linux?.namespaces?.options
    assert.deepInclude(options as object, {
      network: NamespaceMode.NODE,
      pid: NamespaceMode.NODE,
      ipc: NamespaceMode.POD
    })
  })

  it("filters by state 0, the beginning of an id and every label", () => {
    const blank = { id: "", labelSelector: {}, state: undefined }
    const stopped = podRecord({ state: { _tag: "NotReady", reason: "stopped" } })
    assert.isTrue(podMatches(podRecord(), { ...blank, state: { state: PodSandboxState.SANDBOX_READY } }))
    assert.isFalse(podMatches(stopped, { ...blank, state: { state: PodSandboxState.SANDBOX_READY } }))
    assert.isTrue(podMatches(stopped, { ...blank, id: podId.slice(0, 13), labelSelector: { app: "web" } }))
    assert.isFalse(podMatches(stopped, { ...blank, labelSelector: { app: "web", tier: "x" } }))
  })
})
