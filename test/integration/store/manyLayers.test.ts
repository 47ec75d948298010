/** As many layers as image builders stack. */
import { afterAll, assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { ContainerStore } from "../../../src/store/ContainerStore.ts"
import { ImageStore } from "../../../src/store/ImageStore.ts"
import { imageOf, install, layerOf, makePlace, removePlace, storeLayer, tarOf } from "./support.ts"

const count = 127
const at = makePlace("manylayers")
afterAll(() => removePlace(at))

const image = imageOf(
  Array.from({ length: count }, (_, index) =>
    layerOf(
      tarOf((directory) => {
        writeFileSync(`${directory}/of-${index}`, `${index}`)
        writeFileSync(`${directory}/latest`, `${index}`)
      }),
      "none"
    )
  )
)
const name = "example.test/tower:1"

it.live(
  "an image of 127 layers is a root file system here and for podman",
  () =>
    Effect.gen(function* () {
      const containers = yield* ContainerStore
      const images = yield* ImageStore
      const stored = yield* install(image, name)
      const id = "7".repeat(64)
      yield* containers.create({ id, name: "tower", imageId: stored.id, metadata: "{}" })
      const root = yield* containers.mount(id)
      assert.strictEqual(readdirSync(root).length, count + 1)
      assert.strictEqual(readFileSync(`${root}/latest`, "utf8"), `${count - 1}`)
      assert.strictEqual(readFileSync(`${root}/of-0`, "utf8"), "0")
      writeFileSync(`${root}/latest`, "written")
      // Mounted again after a restart of the daemon's machine, which keeps the writable layer.
      yield* containers.unmount(id)
      assert.strictEqual(readFileSync(`${yield* containers.mount(id)}/latest`, "utf8"), "written")

      const mounted = (yield* at.podman("image", "mount", name)).trim()
      assert.strictEqual(readdirSync(mounted).length, count + 1)
      assert.strictEqual(readFileSync(`${mounted}/latest`, "utf8"), `${count - 1}`)
      yield* at.podman("image", "umount", name)

      yield* containers.remove(id)
      yield* images.remove(stored.id)
      assert.deepStrictEqual(readdirSync(`${at.graphRoot}/overlay/l`), [])
    }).pipe(Effect.provide(storeLayer(at))),
  120_000
)
