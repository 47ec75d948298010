import { afterAll, assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Stream } from "effect"
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { Files } from "../../../src/linux/Files.ts"
import { LayerUnpacker } from "../../../src/linux/LayerUnpacker.ts"
import { LinuxError } from "../../../src/linux/LinuxError.ts"
import { Locks } from "../../../src/linux/Locks.ts"
import { Mounts } from "../../../src/linux/Mounts.ts"
import { ContainerStore } from "../../../src/store/ContainerStore.ts"
import { ImageStore } from "../../../src/store/ImageStore.ts"
import { StoreSettings } from "../../../src/store/StoreSettings.ts"
import {
  busyboxLayers,
  chunksOf,
  imageOf,
  install,
  layerOf,
  makePlace,
  type Place,
  removePlace,
  sha256,
  storeLayer
} from "./support.ts"

const [base, upper] = busyboxLayers() as [Buffer, Buffer]
const image = imageOf([layerOf(base), layerOf(upper)])
const imageId = sha256(image.config).slice(7)
const name = "example.test/busybox:1"
const containerId = "cc".repeat(32)

const places: Array<Place> = []
const place = (title: string, parent = "/tmp") => {
  const made = makePlace(title, parent)
  places.push(made)
  return made
}
afterAll(() => places.forEach(removePlace))

const json = (path: string): ReadonlyArray<unknown> => (existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : [])

/** All that says something about layers, images and containers; stamps of lock files and random names left out. */
const contents = (at: Place) => ({
  layers: readdirSync(`${at.graphRoot}/overlay`).filter((entry) => /^[0-9a-f]{64}$/.test(entry)),
  links: readdirSync(`${at.graphRoot}/overlay/l`).length,
  staged: readdirSync(`${at.graphRoot}/overlay/cricket-staging`).length,
  besideLayers: readdirSync(`${at.graphRoot}/overlay-layers`).filter((entry) => !/^layers\.(json|lock)$/.test(entry)),
  images: readdirSync(`${at.graphRoot}/overlay-images`).filter((entry) => /^[0-9a-f]{64}$/.test(entry)),
  records: ["layers", "images", "containers"].map((kind) => json(`${at.graphRoot}/overlay-${kind}/${kind}.json`).length)
})

const none = { layers: [], links: 0, staged: 0, besideLayers: [], images: [], records: [0, 0, 0] }

/** Starts a store on the place, lets the repair end (everything that changes queues behind it) and stops it. */
const restart = (at: Place) =>
  Effect.gen(function* () {
    yield* (yield* ContainerStore).remove("ff".repeat(32))
    while (readdirSync(`${at.graphRoot}/overlay/cricket-staging`).length > 1) yield* Effect.sleep(10)
  }).pipe(Effect.provide(storeLayer(at)))

class PowerCut extends Error {}

/**
 * The real files, until the k-th change: then nothing is changed any more, by anybody, not even in rollback or
 * finalizers. That is what the disk looks like after a crash.
 */
const dyingFiles = (k: number) => {
  const state = { changes: 0, dead: false }
  const layer = Layer.effect(
    Files,
    Effect.map(Files, (files) => {
      const changing = new Set([
        "makeDirectory",
        "open",
        "rename",
        "symlink",
        "removeFile",
        "removeDirectory",
        "removeTree",
        "chmod",
        "chown",
        "syncDirectory"
      ])
      return new Proxy(files, {
        get: (target, key) => {
          const method = Reflect.get(target, key) as (
            ...args: ReadonlyArray<unknown>
          ) => Effect.Effect<unknown, LinuxError>
          if (!changing.has(String(key))) return method
          return (...args: ReadonlyArray<unknown>) =>
            Effect.suspend(() => {
              if (key === "open" && args[1] === "read") return method(...args)
              if (state.dead || ++state.changes >= k) {
                state.dead = true
                return Effect.fail(
                  new LinuxError({
                    operation: String(key),
                    subject: String(args[0]),
                    code: "EIO",
                    cause: new PowerCut()
                  })
                )
              }
              return method(...args)
            })
        }
      })
    })
  ).pipe(Layer.provide(Files.layer))
  return { state, layer }
}

const dyingStore = (at: Place, files: Layer.Layer<Files>) =>
  Layer.fresh(Layer.mergeAll(ImageStore.layer, ContainerStore.layer)).pipe(
    Layer.provide(Layer.mergeAll(files, Locks.layer, Mounts.layer, LayerUnpacker.layer)),
    Layer.provide(Layer.succeed(StoreSettings, { graphRoot: at.graphRoot, runRoot: at.runRoot }))
  )

const life = Effect.gen(function* () {
  const images = yield* ImageStore
  const containers = yield* ContainerStore
  yield* install(image, name)
  yield* containers.create({ id: containerId, name: "c", imageId, metadata: "{}" })
  yield* containers.remove(containerId)
  yield* images.remove(imageId)
})

describe("a crash", () => {
  it.live(
    "at any change to the disk leaves nothing half-made, and the next start gives the rest back",
    () =>
      Effect.gen(function* () {
        let finished = false
        let points = 0
        for (let k = 1; !finished; k++) {
          // In memory: waiting for a disk a thousand times tells nothing more.
          const at = place("crash", "/dev/shm")
          const files = dyingFiles(k)
          const exit = yield* Effect.exit(life.pipe(Effect.provide(dyingStore(at, files.layer))))
          finished = !files.state.dead
          if (finished) assert.isTrue(Exit.isSuccess(exit))
          else points += 1
          // What others would see right after the crash: each record complete.
          const layers = json(`${at.graphRoot}/overlay-layers/layers.json`) as ReadonlyArray<{ readonly id: string }>
          for (const { id } of layers)
            assert.isTrue(existsSync(`${at.graphRoot}/overlay/${id}/link`), `${k}: layer ${id}`)
          const seen = json(`${at.graphRoot}/overlay-images/images.json`) as ReadonlyArray<{ readonly layer: string }>
          for (const { layer } of seen)
            assert.isTrue(
              layers.some(({ id }) => id === layer),
              `${k}: image without layers`
            )

          yield* restart(at)
          const left = contents(at)
          assert.strictEqual(left.staged, 0, `${k}: staging`)
          assert.deepStrictEqual(left.layers.length, left.records[0], `${k}: a layer without a record`)
          assert.strictEqual(left.links, left.layers.length, `${k}: links`)
          // The image is there wholly or not at all, and so is the container.
          const [, imageRecords, containerRecords] = left.records as [number, number, number]
          assert.strictEqual(left.layers.length, imageRecords * 2 + containerRecords, `${k}: layers in use`)
          yield* Effect.gen(function* () {
            yield* (yield* ContainerStore).remove(containerId)
            yield* (yield* ImageStore).remove(imageId)
          }).pipe(Effect.provide(storeLayer(at)))
          assert.deepStrictEqual(contents(at), none, `${k}: after removal`)
          removePlace(at)
        }
        yield* Effect.logInfo(`${points} points`)
        assert.isAbove(points, 60)
      }),
    300_000
  )

  it.live("of another program: its unfinished layers go, its other layers stay", () => {
    const at = place("foreign")
    return Effect.gen(function* () {
      const id = "ab".repeat(32)
      const whole = "cd".repeat(32)
      for (const layer of [id, whole]) mkdirSync(`${at.graphRoot}/overlay/${layer}/diff`, { recursive: true })
      mkdirSync(`${at.graphRoot}/overlay-layers`)
      writeFileSync(
        `${at.graphRoot}/overlay-layers/layers.json`,
        JSON.stringify([
          { id, flags: { incomplete: true } },
          { id: whole, "a-field-of-tomorrow": { x: [1] } },
          "not even a record"
        ])
      )
      yield* restart(at)
      assert.deepStrictEqual(contents(at).layers, [whole])
      assert.deepStrictEqual(json(`${at.graphRoot}/overlay-layers/layers.json`), [
        { id: whole, "a-field-of-tomorrow": { x: [1] } },
        "not even a record"
      ])
    })
  })
})

describe("a repair", () => {
  it.live("takes away short names that lead nowhere, and leaves what is none", () => {
    const at = place("names")
    const links = `${at.graphRoot}/overlay/l`
    return Effect.gen(function* () {
      mkdirSync(links, { recursive: true })
      symlinkSync(`../${"ab".repeat(32)}/diff`, `${links}/GONE`)
      symlinkSync("elsewhere", `${links}/FOREIGN`)
      writeFileSync(`${links}/A-FILE`, "")
      yield* restart(at)
      assert.deepStrictEqual(readdirSync(links).toSorted(), ["A-FILE", "FOREIGN"])
    })
  })
})

describe("a pull", () => {
  it.live("that fails or is cancelled leaves nothing", () => {
    const at = place("cancel")
    return Effect.gen(function* () {
      const store = yield* ImageStore
      const source = {
        diffId: sha256(base),
        blobDigest: sha256(base),
        blobSize: base.length,
        compression: "none" as const,
        blob: chunksOf(base)
      }
      const wrong = yield* Effect.flip(
        Effect.scoped(store.stageLayer({ ...source, diffId: `sha256:${"0".repeat(64)}` }))
      )
      assert.strictEqual(wrong._tag, "DigestMismatch")
      const failed = yield* Effect.flip(
        Effect.scoped(
          store.stageLayer({
            ...source,
            blob: Stream.concat(chunksOf(base.subarray(0, 9000)), Stream.fail("registry gone"))
          })
        )
      )
      assert.strictEqual(failed, "registry gone")
      const fiber = yield* Effect.forkChild(
        Effect.scoped(
          store.stageLayer({ ...source, blob: Stream.concat(chunksOf(base.subarray(0, 600_000)), Stream.never) })
        ),
        { startImmediately: true }
      )
      yield* Effect.sleep(300)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(contents(at).staged, 1)
      const [own] = readdirSync(`${at.graphRoot}/overlay/cricket-staging`)
      assert.deepStrictEqual(readdirSync(`${at.graphRoot}/overlay/cricket-staging/${own}`), ["lock"])

      const uncommitted = yield* Effect.scoped(store.stageLayer(source))
      const late = yield* Effect.flip(
        store.commit({
          manifest: image.manifest,
          manifestDigest: sha256(image.manifest),
          config: image.config,
          names: [],
          layers: [uncommitted, { existing: sha256(upper) }]
        })
      )
      assert.strictEqual(late._tag, "LayerMissing")
      const swapped = yield* Effect.flip(
        store.commit({
          manifest: image.manifest,
          manifestDigest: sha256(base),
          config: image.config,
          names: [],
          layers: []
        })
      )
      assert.strictEqual(swapped._tag, "DigestMismatch")
      assert.deepStrictEqual({ ...contents(at), staged: 0 }, none)
    }).pipe(
      Effect.provide(storeLayer(at)),
      Effect.andThen(Effect.sync(() => assert.deepStrictEqual(contents(at), none)))
    )
  })
})
