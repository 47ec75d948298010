/** Layers for user namespaces on the real kernel: shown with mapped ids, written with them, and gone without a trace. */
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { execFileSync } from "node:child_process"
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  writeFileSync
} from "node:fs"
import type { UserNamespace } from "../../../src/linux/IdMapping.ts"
import { Namespaces } from "../../../src/linux/Namespaces.ts"
import { ContainerStore } from "../../../src/store/ContainerStore.ts"
import {
  busyboxLayers,
  imageOf,
  install,
  layerOf,
  makePlace,
  type Place,
  removePlace,
  storeLayer,
  tarOf
} from "./support.ts"

const firstId = 70_000
const range = [{ containerId: 0, hostId: firstId, length: 65_536 }]
const containerId = "c".repeat(64)

const inPlace = <A, E>(use: (place: Place) => Effect.Effect<A, E, Namespaces>, parent?: string) =>
  Effect.acquireUseRelease(
    Effect.sync(() => makePlace("user", parent)),
    use,
    (place) => Effect.sync(() => removePlace(place))
  ).pipe(Effect.provide(Namespaces.layer))

const pinned = (place: Place) =>
  Effect.acquireRelease(
    Effect.gen(function* () {
      const path = `${place.directory}/user`
      writeFileSync(path, "")
      const ids = { uids: range, gids: range }
      yield* (yield* Namespaces).pin({ namespaces: [{ kind: "user", path }], mappings: ids, sysctls: [] })
      return { path, ids } satisfies UserNamespace
    }),
    ({ path }) => Effect.flatMap(Namespaces, (namespaces) => Effect.ignore(namespaces.unpin(path)))
  )

const owner = (path: string) => {
  const { uid, gid } = statSync(path)
  return [uid, gid]
}
const mountsBelow = (directory: string) =>
  readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((target) => target.startsWith(`${directory}/`))

const request = { id: containerId, name: "one", metadata: "{}" }

it.live("a container's layer shows root what is root's, and keeps on disk whose it is", () =>
  inPlace((place) =>
    Effect.gen(function* () {
      const userNamespace = yield* pinned(place)
      yield* Effect.gen(function* () {
        const store = yield* ContainerStore
        const { id: imageId } = yield* install(imageOf(busyboxLayers().map((tar) => layerOf(tar))), "localhost/a:1")
        const { layerId } = yield* store.create({ ...request, imageId, userNamespace })
        const rootfs = yield* store.mount(containerId, userNamespace)

        assert.deepStrictEqual(owner(rootfs), [firstId, firstId])
        assert.deepStrictEqual(owner(`${rootfs}/bin/busybox`), [firstId, firstId])
        // Replaced in the second layer, where it is root's; the first one's group is none that is mapped.
        assert.deepStrictEqual(owner(`${rootfs}/etc/passwd`), [firstId, firstId])
        assert.deepStrictEqual(readdirSync(`${rootfs}/old`), ["c"])
        assert.isFalse(existsSync(`${rootfs}/gone`))
        // A process of the namespace: its root may do what root may, as far as the layers go.
        const inside = (script: string) =>
          execFileSync("nsenter", [`--user=${userNamespace.path}`, "-S", "0", "-G", "0", "sh", "-c", script], {
            cwd: rootfs,
            encoding: "utf8"
          })
        assert.strictEqual(
          inside("id -u; stat -c %u:%g bin/busybox; echo x >> etc/passwd; echo y > new; chown 7:8 new"),
          "0\n0:0\n"
        )
        const diff = `${place.graphRoot}/overlay/${layerId}/diff`
        assert.deepStrictEqual(owner(diff), [firstId, firstId])
        assert.deepStrictEqual(owner(`${diff}/etc/passwd`), [firstId, firstId])
        assert.deepStrictEqual(owner(`${diff}/new`), [firstId + 7, firstId + 8])
        const layers = JSON.parse(readFileSync(`${place.graphRoot}/overlay-layers/layers.json`, "utf8"))
        const recorded = layers.find(({ id }: { readonly id: string }) => id === layerId)
        const map = [{ container_id: 0, host_id: firstId, size: 65_536 }]
        assert.deepStrictEqual([recorded.uidmap, recorded.gidmap], [map, map])
        const images = layers.filter(({ id }: { readonly id: string }) => id !== layerId)
        for (const { id } of images) {
          assert.deepStrictEqual(owner(`${place.graphRoot}/overlay/${id}/diff`), [0, 0])
          assert.strictEqual(statSync(`${place.graphRoot}/overlay/${id}`).mode & 0o777, 0o700)
        }

        assert.deepStrictEqual(mountsBelow(`${place.graphRoot}/overlay`), [rootfs])
        assert.strictEqual(yield* store.mount(containerId, userNamespace), rootfs)
        assert.include(yield* place.podman("images", "--format", "{{.Repository}}"), "localhost/a")
        yield* store.unmount(containerId)
        yield* store.remove(containerId)
        assert.deepStrictEqual(mountsBelow(`${place.graphRoot}/overlay`), [])
        assert.deepStrictEqual(readdirSync(`${place.graphRoot}/overlay/idmap`), [])
      }).pipe(Effect.provide(storeLayer(place)))
      assert.deepStrictEqual(mountsBelow(place.graphRoot), [])
    }).pipe(Effect.scoped)
  )
)

it.live("a volume is for reading only, and an image of many layers fits", () =>
  inPlace((place) =>
    Effect.gen(function* () {
      const userNamespace = yield* pinned(place)
      const store = yield* ContainerStore
      const layers = Array.from({ length: 60 }, (_, index) =>
        layerOf(tarOf((root) => writeFileSync(`${root}/file-${index}`, String(index))))
      )
      const { id: imageId } = yield* install(imageOf(layers))
      yield* store.create({ ...request, imageId, userNamespace })
      const volume = yield* store.mountVolume(containerId, userNamespace)
      assert.strictEqual(readdirSync(volume).length, 60)
      assert.deepStrictEqual(owner(`${volume}/file-0`), [firstId, firstId])
      assert.throws(() => writeFileSync(`${volume}/new`, ""), /EROFS/)
      yield* store.remove(containerId)
      assert.deepStrictEqual(mountsBelow(`${place.graphRoot}/overlay`), [])
    }).pipe(Effect.provide(Layer.suspend(() => storeLayer(place))), Effect.scoped)
  )
)

it.live("what a dead process left mounted is gone when the next one starts", () =>
  inPlace((place) =>
    Effect.gen(function* () {
      const overlay = `${place.graphRoot}/overlay`
      mkdirSync(`${overlay}/idmap`, { recursive: true })
      execFileSync("mount", ["--bind", overlay, `${overlay}/idmap`])
      yield* Effect.gen(function* () {
        yield* ContainerStore
        while (mountsBelow(overlay).length > 0) yield* Effect.sleep("20 millis")
      }).pipe(Effect.timeout("10 seconds"), Effect.provide(storeLayer(place)))
    })
  )
)

it.live("a file system without idmapped mounts is told by name, and nothing stays mounted", () =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const directory = mkdtempSync("/tmp/cricket-ramfs-")
      execFileSync("mount", ["-t", "ramfs", "none", directory])
      return directory
    }),
    (directory) =>
      inPlace(
        (place) =>
          Effect.gen(function* () {
            const userNamespace = yield* pinned(place)
            const store = yield* ContainerStore
            const { id: imageId } = yield* install(imageOf([layerOf(tarOf((root) => writeFileSync(`${root}/a`, "")))]))
            yield* store.create({ ...request, imageId, userNamespace })
            const error = yield* Effect.flip(store.mount(containerId, userNamespace))
            assert.strictEqual(error._tag, "LayersNotMappable")
            assert.include(error.message, `${place.graphRoot}/overlay has no idmapped mounts`)
            assert.deepStrictEqual(mountsBelow(`${place.graphRoot}/overlay`), [])
            yield* store.remove(containerId)
          }).pipe(Effect.provide(Layer.suspend(() => storeLayer(place))), Effect.scoped),
        directory
      ),
    (directory) =>
      Effect.sync(() => {
        execFileSync("umount", ["-l", directory])
        rmdirSync(directory)
      })
  )
)
