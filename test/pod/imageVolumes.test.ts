import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Result } from "effect"
import { ImageSpec, Mount } from "../../src/gen/runtime/v1/api.ts"
import { Images } from "../../src/image/Images.ts"
import { Files, type FileKind } from "../../src/linux/Files.ts"
import { LinuxError } from "../../src/linux/LinuxError.ts"
import type { ContainerPlan } from "../../src/pod/containerPlan.ts"
import { mountImageVolumes, planImageVolumes, volumeOwner } from "../../src/pod/imageVolumes.ts"
import { ContainerStore, type NewContainerLayer } from "../../src/store/ContainerStore.ts"
import { ImageNotFound } from "../../src/store/StoreError.ts"
import type { StoredImage } from "../../src/store/ImageStore.ts"
import { containerId, containerRecord, Host, podRecord } from "./support/host.ts"

const empty = new Uint8Array()
const image = { id: "1".repeat(64), manifestDigest: `sha256:${"2".repeat(64)}`, names: [] } as unknown as StoredImage

const mount = (fields: Partial<Mount> = {}, name = "models:1"): Mount => ({
  ...Mount.decode(empty),
  containerPath: "/models",
  readonly: true,
  image: { ...ImageSpec.decode(empty), image: name },
  ...fields
})

const images = Layer.mock(Images, {
  isPinned: () => false,
  resolve: (name) => Effect.succeed(name === "models:1" ? image : undefined)
})
const plan = (...mounts: ReadonlyArray<Mount>) => Effect.provide(planImageVolumes(mounts), images)
const refusal = (fields: Partial<Mount>, name?: string) =>
  Effect.map(Effect.flip(plan(mount(fields, name))), ({ message }) => message)

describe("planning image volumes", () => {
  it.effect("takes those mounts that name an image, with an id of its own for each", () =>
    Effect.gen(function* () {
      const host = mount({ image: undefined, containerPath: "/host", hostPath: "/srv" })
      const noName = mount({ containerPath: "/empty" }, "")
      const [first, second, ...more] = yield* plan(mount(), host, noName, mount({ imageSubPath: "a/b" }))
      assert.deepStrictEqual(more, [])
      assert.deepStrictEqual([first?.subPath, second?.subPath], ["", "a/b"])
      assert.match(first?.volumeId ?? "", /^[0-9a-f]{64}$/)
      assert.notStrictEqual(first?.volumeId, second?.volumeId)
    })
  )

  it.effect("refuses what contradicts itself, leads out, or is not here, with kubelet's word first", () =>
    Effect.gen(function* () {
      assert.match(yield* refusal({ hostPath: "/srv" }), /^ImageVolumeMountFailed: image "models:1" for \/models: /)
      assert.match(yield* refusal({ readonly: false }), /^ImageVolumeMountFailed: .*can only be read/)
      assert.match(yield* refusal({ imageSubPath: "a/../../b" }), /^ImageVolumeMountFailed: .*leads out/)
      assert.match(yield* refusal({ imageSubPath: "a\0b" }), /^ImageVolumeMountFailed: .*leads out/)
      assert.match(yield* refusal({}, "artifact:1"), /^ImageVolumeMountFailed: .*no such image.*artifacts/)
      assert.match(yield* refusal({ image: undefined, imageSubPath: "a" }), /image_sub_path.*which is no image/)
    })
  )
})

describe("mounting image volumes", () => {
  const mounting = Effect.fnUntraced(function* (
    fields: Partial<Mount>,
    kind: FileKind = "directory",
    failing: "create" | "resolve" | "none" = "none"
  ) {
    const made: Array<NewContainerLayer> = []
    const store = Layer.mock(ContainerStore, {
      mountpoint: "/store",
      directory: (id) => id,
      runDirectory: (id) => id,
      create: (request) =>
        Effect.suspend(() => {
          made.push(request)
          if (failing === "create") return Effect.fail(new ImageNotFound({ imageId: request.imageId }))
          return Effect.succeed({ ...request, names: [], layerId: "", createdMs: 0 })
        }),
      mountVolume: (id) => Effect.succeed(`/overlay/${id.slice(0, 4)}`)
    })
    const files = Layer.mock(Files, {
      resolveInRoot: (root, path) =>
        failing === "resolve"
          ? Effect.fail(new LinuxError({ operation: "resolve", subject: path, code: "ELOOP" }))
          : Effect.succeed(`${root}/real/${path}`),
      lstat: () => Effect.succeed({ kind } as never)
    })
    const imageVolumes = yield* plan(mount(fields))
    const sources = yield* Effect.result(
      mountImageVolumes({ record: containerRecord(), pod: podRecord(), imageVolumes } as unknown as ContainerPlan).pipe(
        Effect.provide(Layer.mergeAll(store, files, new Host().settings))
      )
    )
    const id = imageVolumes[0]?.volumeId ?? ""
    return { sources, made, root: `/overlay/${id.slice(0, 4)}`, id }
  })
  const messageOf = ({ sources }: Effect.Success<ReturnType<typeof mounting>>) =>
    Result.isFailure(sources) ? sources.failure.message : "mounted"

  it.effect("each is a layer of its own that names its owner", () =>
    Effect.gen(function* () {
      const { sources, made, root, id } = yield* mounting({})
      assert.deepStrictEqual("success" in sources ? [...sources.success] : sources, [["/models", root]])
      assert.deepStrictEqual([made[0]?.id, made[0]?.imageId], [id, image.id])
      assert.strictEqual(volumeOwner(made[0]?.metadata ?? ""), containerId)
      assert.isUndefined(volumeOwner("{}"))
    })
  )

  it.effect("a sub path is where it leads in the image, a directory or a file", () =>
    Effect.gen(function* () {
      for (const kind of ["directory", "file"] as const) {
        const { sources, root } = yield* mounting({ imageSubPath: "a" }, kind)
        assert.deepStrictEqual("success" in sources ? [...sources.success] : sources, [["/models", `${root}/real/a`]])
      }
      for (const kind of ["fifo", "character", "socket"] as const) {
        assert.match(
          messageOf(yield* mounting({ imageSubPath: "a" }, kind)) ?? "",
          /^ImageVolumeMountFailed: .*neither/
        )
      }
    })
  )

  it.effect("failures of the store and of the path begin with kubelet's word", () =>
    Effect.gen(function* () {
      assert.match(
        messageOf(yield* mounting({}, "directory", "create")) ?? "",
        /^ImageVolumeMountFailed: .*not in the store/
      )
      const resolve = messageOf(yield* mounting({ imageSubPath: "a" }, "directory", "resolve"))
      assert.match(resolve, /^ImageVolumeMountFailed: .*image_sub_path "a": .*ELOOP/)
    })
  )
})
