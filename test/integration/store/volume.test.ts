/** An image as a volume: for reading, and in use for every program that works on the store. */
import { afterAll, assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { ContainerStore } from "../../../src/store/ContainerStore.ts"
import { ImageStore } from "../../../src/store/ImageStore.ts"
import { busyboxLayers, imageOf, install, layerOf, makePlace, removePlace, storeLayer } from "./support.ts"

const at = makePlace("volume")
afterAll(() => removePlace(at))

const image = imageOf(busyboxLayers().map((tar) => layerOf(tar)))
const name = "example.test/assets:1"
const volume = "5".repeat(64)

const codeOf = (act: () => unknown): string => {
  try {
    act()
    return "no error"
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error)
  }
}

it.live(
  "is read-only, has neither devices nor set-user-ID, and keeps its image from podman and from us",
  () =>
    Effect.gen(function* () {
      const containers = yield* ContainerStore
      const images = yield* ImageStore
      const stored = yield* install(image, name)
      const request = { id: volume, name: "a-volume", imageId: stored.id, metadata: "{}" }
      yield* containers.create(request)
      const root = yield* containers.mountVolume(volume)
      assert.strictEqual(readFileSync(`${root}/etc/passwd`, "utf8"), "changed\n")
      assert.deepStrictEqual(readdirSync(`${root}/old`), ["c"])
      assert.strictEqual(
        codeOf(() => writeFileSync(`${root}/new`, "")),
        "EROFS"
      )
      const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n")
      const options = mounts.map((line) => line.split(" ")).find(([, , , , target]) => target === root)?.[5]
      assert.deepStrictEqual(options?.split(",").slice(0, 3), ["ro", "nosuid", "nodev"])
      assert.notInclude(options, "noexec")
      // The same mount again, also for a daemon that has started meanwhile.
      const later = Effect.flatMap(ContainerStore, (others) => others.mountVolume(volume))
      assert.strictEqual(yield* Effect.provide(later, storeLayer(at)), root)

      const refused = yield* Effect.flip(at.podman("rmi", name))
      assert.match(refused.message, /in use|used by/)
      assert.strictEqual((yield* Effect.flip(images.remove(stored.id)))._tag, "ImageInUse")
      assert.strictEqual(readFileSync(`${root}/etc/passwd`, "utf8"), "changed\n")

      yield* containers.remove(volume)
      yield* at.podman("rmi", name)
      assert.deepStrictEqual(readdirSync(`${at.graphRoot}/overlay/l`), [])
    }).pipe(Effect.provide(storeLayer(at))),
  60_000
)
