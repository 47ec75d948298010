import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Files } from "../../src/linux/Files.ts"
import { ContainerRecord } from "../../src/pod/ContainerRecord.ts"
import { PodRecord } from "../../src/pod/PodRecord.ts"
import { PodSettings } from "../../src/pod/PodSettings.ts"
import { Records } from "../../src/pod/Records.ts"
import { containerRecord, Host, podId, podRecord } from "./support/host.ts"

const fixture = (name: string): string => readFileSync(new URL(`fixtures/${name}`, import.meta.url), "utf8")
const parsed = (name: string) => JSON.parse(fixture(name)) as Record<string, unknown>

const decodePod = Schema.decodeUnknownSync(Schema.fromJsonString(PodRecord))
const decodeContainer = Schema.decodeUnknownSync(Schema.fromJsonString(ContainerRecord))
const encodePod = Schema.encodeSync(Schema.fromJsonString(PodRecord))
const encodeContainer = Schema.encodeSync(Schema.fromJsonString(ContainerRecord))

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "cricket-records-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

/** One life of the daemon over a directory. */
const life = (root: string) =>
  Records.layer.pipe(
    Layer.provide(
      Layer.effect(
        PodSettings,
        Effect.map(PodSettings, (settings) => ({
          ...settings,
          stateDirectory: `${root}/state`,
          runDirectory: `${root}/run`
        }))
      ).pipe(Layer.provide(new Host().settings))
    ),
    Layer.provide(Files.layer)
  )

const inLife = <A, E>(root: string, use: (records: Records["Service"]) => Effect.Effect<A, E>) =>
  Effect.flatMap(Records, use).pipe(Effect.provide(life(root)))

/** What is written of a pod that was recorded before there were user namespaces. */
const withUserNamespace = (pod: object) => ({
  ...pod,
  namespaces: { ...(pod as { readonly namespaces: object }).namespaces, user: null }
})

describe("records of version 1", () => {
  it("the pod loads and is written back as it was", () => {
    const pod = decodePod(fixture("pod.v1.json"))
    assert.strictEqual(pod.createdAtNs, 1_700_000_000_123_456_789n)
    assert.deepStrictEqual(
      pod.resources.map(({ _tag }) => _tag),
      ["Cgroup", "Directory", "Mount", "Namespace", "Network", "Layer", "Runtime"]
    )
    assert.isNull(pod.namespaces.user)
    assert.deepStrictEqual(JSON.parse(encodePod(pod)), withUserNamespace(parsed("pod.v1.json")))
  })

  it("a pod with a user namespace loads and is written back as it was", () => {
    const pod = decodePod(fixture("podUserNamespace.v1.json"))
    assert.deepStrictEqual(pod.namespaces.user?.uids, [{ containerId: 0, hostId: 65_536, length: 65_536 }])
    assert.deepStrictEqual(JSON.parse(encodePod(pod)), parsed("podUserNamespace.v1.json"))
  })

  it("the container loads and is written back as it was", () => {
    const container = decodeContainer(fixture("container.v1.json"))
    assert.strictEqual(container.limits?.memoryLimitInBytes, 9_007_199_254_740_993n)
    assert.deepStrictEqual(JSON.parse(encodeContainer(container)), parsed("container.v1.json"))
  })

  it("a container with a monitor and a program of its own loads and is written back as it was", () => {
    const container = decodeContainer(fixture("containerMonitor.v1.json"))
    const runtime = container.resources.find((row) => row._tag === "Runtime")
    assert.strictEqual(runtime?.monitorCgroup, runtime?.cgroup.replace("crio-", "crio-conmon-"))
    assert.deepStrictEqual([container.platform, runtime?.platform], ["linux/riscv64", "linux/riscv64"])
    assert.deepStrictEqual(JSON.parse(encodeContainer(container)), parsed("containerMonitor.v1.json"))
  })

  it("what the version has come to hold since is written and read back", () => {
    const limits = {
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
    const pod = podRecord({ overhead: limits, limits })
    assert.deepStrictEqual(decodePod(encodePod(pod)), pod)
    const container = containerRecord({ limits, resizing: { files: { "cpu.max": "max 100000" } } })
    assert.deepStrictEqual(decodeContainer(encodeContainer(container)), container)
  })

  const states = parsed("states.v1.json") as {
    readonly pods: ReadonlyArray<object>
    readonly containers: ReadonlyArray<object>
  }
  for (const state of states.pods) {
    it(`a pod in ${JSON.stringify(state)}`, () => {
      const text = JSON.stringify({ ...parsed("pod.v1.json"), state })
      assert.deepStrictEqual(JSON.parse(encodePod(decodePod(text))), withUserNamespace(JSON.parse(text) as object))
    })
  }
  for (const state of states.containers) {
    it(`a container in ${JSON.stringify(state)}`, () => {
      const text = JSON.stringify({ ...parsed("container.v1.json"), state })
      assert.deepStrictEqual(JSON.parse(encodeContainer(decodeContainer(text))), JSON.parse(text))
    })
  }
})

describe("Records", () => {
  it.live("a later daemon finds what the earlier one saved last, and nothing of what it dropped", () =>
    Effect.gen(function* () {
      const root = yield* directory
      const gone = "b".repeat(64)
      yield* inLife(root, (records) =>
        Effect.gen(function* () {
          yield* records.beginPod(podRecord({ state: { _tag: "Starting" } }))
          yield* records.savePod(podRecord({ ips: ["10.0.0.1"] }))
          yield* records.beginContainer(containerRecord())
          yield* records.beginPod(podRecord({ id: gone }))
          yield* records.dropPod(gone)
          yield* records.dropPod(gone)
        })
      )
      const found = yield* inLife(root, (records) => records.loadAll)
      assert.deepStrictEqual(found, {
        pods: [podRecord({ ips: ["10.0.0.1"] })],
        containers: [containerRecord()],
        damaged: []
      })
    })
  )

  it.live("damaged files are told apart and put aside; the rest loads", () =>
    Effect.gen(function* () {
      const root = yield* directory
      const pods = `${root}/state/pods`
      mkdirSync(pods, { recursive: true })
      const id = (digit: string) => digit.repeat(64)
      const good = encodePod(podRecord())
      writeFileSync(`${pods}/${podId}.json`, good)
      writeFileSync(`${pods}/${id("1")}.json`, "")
      writeFileSync(`${pods}/${id("2")}.json`, good.slice(0, 200))
      writeFileSync(`${pods}/${id("3")}.json`, good)
      writeFileSync(`${pods}/${id("4")}.json`, JSON.stringify({ ...JSON.parse(good), id: id("4"), version: 99 }))
      mkdirSync(`${pods}/${id("5")}.json`)
      writeFileSync(`${pods}/.${podId}.json.abc.tmp`, "half")
      writeFileSync(`${pods}/README`, "hello")
      yield* inLife(root, (records) =>
        Effect.gen(function* () {
          const found = yield* records.loadAll
          assert.deepStrictEqual(found.pods, [podRecord()])
          const reasons = new Map(found.damaged.map((record) => [record.id[0], record.reason]))
          assert.deepStrictEqual([...reasons.keys()].sort(), ["1", "2", "3", "4", "5"])
          assert.include(reasons.get("3"), `the record of ${podId}`)
          for (const record of found.damaged) yield* records.setAside(record)
          assert.deepStrictEqual((yield* records.loadAll).damaged, [])
        })
      )
      assert.isFalse(existsSync(`${pods}/.${podId}.json.abc.tmp`), "what a dead daemon was writing goes")
      assert.includeMembers(readdirSync(pods), [`${id("3")}.json.bad`, `${podId}.json`, "README"])
      assert.strictEqual(readFileSync(`${pods}/${id("3")}.json.bad`, "utf8"), good)
    })
  )

  it.live("is written for root alone", () =>
    Effect.gen(function* () {
      const root = yield* directory
      yield* inLife(root, (records) =>
        Effect.gen(function* () {
          yield* records.beginPod(podRecord())
          yield* Effect.flatMap(Files, (files) => files.lstat(`${root}/state/pods/${podId}.json`)).pipe(
            Effect.map(({ mode }) => assert.strictEqual(mode & 0o777, 0o600)),
            Effect.provide(Files.layer)
          )
        })
      )
    })
  )
})
