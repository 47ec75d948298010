import { afterAll, assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { execFileSync } from "node:child_process"
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { ContainerStore } from "../../../src/store/ContainerStore.ts"
import { ImageStore } from "../../../src/store/ImageStore.ts"
import {
  busyboxLayers,
  describeTree,
  imageOf,
  install,
  layerOf,
  makePlace,
  removePlace,
  sha256,
  storeLayer,
  writeLayout
} from "./support.ts"

const [base, upper] = busyboxLayers() as [Buffer, Buffer]
const image = imageOf([layerOf(base, "gzip"), layerOf(upper, "zstd")])
const name = "example.test/busybox:1"
const imageId = sha256(image.config).slice(7)

const places: Array<ReturnType<typeof makePlace>> = []
const place = (title: string) => {
  const made = makePlace(title)
  places.push(made)
  return made
}
afterAll(() => places.forEach(removePlace))

/** Looks again until it holds: the snapshot follows other programs by events, at worst after 2 s. */
const eventually = <E, R>(what: string, check: Effect.Effect<boolean, E, R>) =>
  Effect.gen(function* () {
    while (!(yield* check)) yield* Effect.sleep("20 millis")
  }).pipe(Effect.timeoutOrElse({ duration: "6 seconds", orElse: () => Effect.die(new Error(`never: ${what}`)) }))

/** Directories of layers in the store. */
const layerDirectories = (graphRoot: string) =>
  readdirSync(`${graphRoot}/overlay`).filter((entry) => /^[0-9a-f]{64}$/.test(entry))

const layerRecords = (graphRoot: string): ReadonlyArray<{ readonly id: string; readonly "diff-digest"?: string }> =>
  JSON.parse(readFileSync(`${graphRoot}/overlay-layers/layers.json`, "utf8"))

const isEmpty = (at: ReturnType<typeof makePlace>) => {
  assert.deepStrictEqual(layerDirectories(at.graphRoot), [])
  assert.deepStrictEqual(readdirSync(`${at.graphRoot}/overlay/l`), [])
  assert.deepStrictEqual(layerRecords(at.graphRoot), [])
  assert.deepStrictEqual(readdirSync(`${at.graphRoot}/overlay-layers`).sort(), ["layers.json", "layers.lock"])
}

describe("podman on our store", () => {
  it.live(
    "lists, inspects, mounts, pushes with the same digests, saves and removes what we stored",
    () => {
      const at = place("podman")
      return Effect.gen(function* () {
        const stored = yield* install(image, name)
        assert.strictEqual(stored.id, imageId)
        assert.include(
          yield* at.podman("images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"),
          `${name} ${imageId.slice(0, 12)}`
        )
        const inspected = JSON.parse(yield* at.podman("inspect", name))[0]
        assert.strictEqual(inspected.Digest, sha256(image.manifest))
        assert.deepStrictEqual(inspected.RootFS.Layers, [sha256(base), sha256(upper)])

        const mounted = (yield* at.podman("image", "mount", name)).trim()
        assert.strictEqual(readFileSync(`${mounted}/etc/passwd`, "utf8"), "changed\n")
        assert.deepStrictEqual(readdirSync(`${mounted}/old`), ["c"])
        assert.isFalse(existsSync(`${mounted}/gone`))
        assert.isFalse(existsSync(`${mounted}/etc/fifo`))
        yield* at.podman("image", "umount", name)

        yield* at.podman("push", "-q", "--format", "oci", name, `oci:${at.directory}/pushed:x`)
        const index = JSON.parse(readFileSync(`${at.directory}/pushed/index.json`, "utf8"))
        const pushed = JSON.parse(
          readFileSync(`${at.directory}/pushed/blobs/sha256/${index.manifests[0].digest.slice(7)}`, "utf8")
        )
        const diffs = (pushed.layers as ReadonlyArray<{ digest: string }>).map((layer) =>
          sha256(
            execFileSync("sh", ["-c", `gzip -dc < blobs/sha256/${layer.digest.slice(7)}`], {
              cwd: `${at.directory}/pushed`,
              maxBuffer: 2 ** 30
            })
          )
        )
        assert.deepStrictEqual(diffs, [sha256(base), sha256(upper)])
        yield* at.podman("push", "-q", name, `dir:${at.directory}/dir`)
        yield* at.podman("save", "-q", "--format", "oci-dir", "-o", `${at.directory}/saved`, name)

        yield* at.podman("rmi", name)
        const store = yield* ImageStore
        yield* eventually(
          "the image is gone",
          Effect.map(store.snapshot, ({ images }) => images.length === 0)
        )
        isEmpty(at)
      }).pipe(Effect.provide(storeLayer(at)))
    },
    120_000
  )

  it.live(
    "finds on the disk what podman itself would have made of the same image",
    () => {
      const ours = place("ours")
      const theirs = place("theirs")
      writeLayout(`${theirs.directory}/oci`, image)
      return Effect.gen(function* () {
        yield* theirs.podman("pull", "-q", `oci:${theirs.directory}/oci`)
        yield* install(image, name)
        for (const tar of [base, upper]) {
          const treeOf = (at: typeof ours) => {
            const record = layerRecords(at.graphRoot).find((layer) => layer["diff-digest"] === sha256(tar))
            assert.isDefined(record)
            // When whiteouts were made, and directories that only they changed, is told by the clock.
            return describeTree(`${at.graphRoot}/overlay/${record?.id}/diff`)
              .split("\n")
              .map((line) => (line.includes("|c|0|") || line.startsWith("|d|") ? line.replace(/[|][^|]*$/, "") : line))
          }
          assert.deepStrictEqual(treeOf(ours), treeOf(theirs))
        }
      }).pipe(Effect.provide(storeLayer(ours)))
    },
    120_000
  )

  it.live(
    "sees what podman pulls, tags and removes, and builds on its layers",
    () => {
      const at = place("theirs-first")
      const first = imageOf([layerOf(base)], "first")
      writeLayout(`${at.directory}/oci`, first)
      return Effect.gen(function* () {
        const store = yield* ImageStore
        const changes = yield* store.changes.pipe(
          Stream.take(1),
          Stream.runCollect,
          Effect.forkChild({ startImmediately: true })
        )
        const pulled = (yield* at.podman("pull", "-q", `oci:${at.directory}/oci`)).trim()
        // podman writes an image's record first without its digest.
        yield* eventually(
          "podman's image",
          Effect.map(store.snapshot, ({ byId }) => (byId.get(pulled)?.manifestDigest ?? "") !== "")
        )
        assert.strictEqual((yield* Fiber.join(changes)).length, 1)
        const seen = (yield* store.snapshot).byId.get(pulled)
        assert.strictEqual(seen?.manifestDigest, sha256(first.manifest))
        assert.strictEqual(seen?.config.config.Labels["note"], "first")
        assert.strictEqual(seen?.createdMs, Date.parse("2024-05-06T07:08:09.123Z"))
        assert.deepStrictEqual(Buffer.from(yield* store.manifest(pulled)), first.manifest)
        yield* at.podman("tag", pulled, name)
        yield* eventually(
          "the tag",
          Effect.map(store.snapshot, ({ byName }) => byName.has(name))
        )

        assert.strictEqual(yield* store.existingLayers([sha256(base), sha256(upper)]), 1)
        yield* install(image, name)
        assert.strictEqual(layerRecords(at.graphRoot).length, 2)
        assert.strictEqual((yield* store.snapshot).byName.get(name)?.id, imageId)
        assert.deepInclude(JSON.parse(yield* at.podman("inspect", imageId))[0].RepoTags, name)

        yield* at.podman("rmi", pulled)
        yield* eventually(
          "podman's removal",
          Effect.map(store.snapshot, ({ byId }) => !byId.has(pulled))
        )
        assert.strictEqual((yield* store.snapshot).images.length, 1)
        yield* store.remove(imageId)
        yield* store.remove(imageId)
        isEmpty(at)
        assert.strictEqual(yield* at.podman("images", "-q"), "")
      }).pipe(Effect.provide(storeLayer(at)))
    },
    120_000
  )

  it.live(
    "keeps the image and the mount of a container from podman, and gives all of it back",
    () => {
      const at = place("containers")
      const id = "c1".repeat(32)
      return Effect.gen(function* () {
        const images = yield* ImageStore
        const containers = yield* ContainerStore
        yield* install(image, name)
        const request = { id, name: "k8s_web", imageId, metadata: '{"pod-id":"p1"}' }
        const made = yield* containers.create(request)
        assert.deepStrictEqual(yield* containers.create(request), made)
        const clash = yield* Effect.flip(containers.create({ ...request, id: "c2".repeat(32) }))
        assert.strictEqual(clash._tag, "ContainerNameInUse")
        const root = yield* containers.mount(id)
        assert.strictEqual(yield* containers.mount(id), root)
        assert.strictEqual(readFileSync(`${root}/old/c`, "utf8"), "new\n")
        assert.isFalse(existsSync(`${root}/old/a`))
        assert.strictEqual(statSync(root).mode & 0o7777, 0o555)
        writeFileSync(`${root}/tmp/big`, Buffer.alloc(100_000))
        rmSync(`${root}/etc/passwd`)
        const usage = yield* containers.usage(id)
        assert.isTrue(usage.bytes >= 100_000n && usage.bytes < 200_000n)
        assert.isTrue(existsSync(containers.directory(id)) && existsSync(containers.runDirectory(id)))

        assert.include(yield* at.podman("ps", "--all", "--external", "--format", "{{.Names}}"), "k8s_web")
        assert.include((yield* Effect.flip(at.podman("rmi", name))).message, "in use")
        assert.strictEqual(readFileSync(`${root}/old/c`, "utf8"), "new\n")
        const inUse = yield* Effect.flip(images.remove(imageId))
        assert.strictEqual(inUse._tag, "ImageInUse")

        yield* containers.unmount(id)
        yield* containers.unmount(id)
        assert.deepStrictEqual(readdirSync(root), [])
        assert.strictEqual(readFileSync(`${at.runRoot}/overlay-layers/mountpoints.json`, "utf8"), "[]")
        assert.strictEqual(yield* containers.mount(id), root)
        assert.isFalse(existsSync(`${root}/etc/passwd`))
        yield* containers.remove(id)
        yield* containers.remove(id)
        assert.deepStrictEqual(yield* containers.list, [])
        assert.isFalse(existsSync(containers.directory(id)))
        yield* images.remove(imageId)
        isEmpty(at)
        assert.notInclude(readFileSync("/proc/self/mountinfo", "utf8"), `${at.graphRoot}/overlay/`)
      }).pipe(
        Effect.provide(storeLayer(at)),
        Effect.andThen(Effect.sync(() => assert.notInclude(readFileSync("/proc/self/mountinfo", "utf8"), at.graphRoot)))
      )
    },
    120_000
  )

  it.live(
    "shares the store with podman while both change it",
    () => {
      const at = place("both")
      return Effect.gen(function* () {
        const images = yield* ImageStore
        const containers = yield* ContainerStore
        yield* install(image, name)
        // An image of its own: podman writes back all names that it read before it had the lock.
        const { id: other } = yield* install(imageOf([layerOf(base)], "other"), "example.test/other:1")
        const rounds = Array.from({ length: 8 }, (_, i) => i)
        const podman = Effect.forEach(rounds, (i) => at.podman("tag", other, `example.test/theirs:${i}`))
        const cycle = (i: number) =>
          Effect.gen(function* () {
            const id = `${i}`.padStart(64, "0")
            yield* images.addNames(imageId, [`example.test/ours:${i}`])
            yield* containers.create({ id, name: `c${i}`, imageId, metadata: "{}" })
            yield* containers.mount(id)
            yield* containers.remove(id)
          })
        yield* Effect.all([podman, Effect.forEach(rounds, cycle, { concurrency: 4 })], { concurrency: 2 })
        yield* eventually(
          "all names",
          Effect.map(images.snapshot, ({ byId }) =>
            [imageId, other].every((id) => byId.get(id)?.names.length === 1 + rounds.length)
          )
        )
        assert.strictEqual(layerRecords(at.graphRoot).length, 2)
      }).pipe(Effect.provide(storeLayer(at)))
    },
    120_000
  )
})
