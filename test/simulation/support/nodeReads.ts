/** Steps of what a client asks about the node and its images; nothing of it changes anything. */
import { Effect } from "effect"
import { handlers } from "../../../src/cri/handlers.ts"
import {
  CgroupDriver,
  ImageFsInfoResponse,
  ImageSpec,
  type Image,
  ListImagesRequest,
  StreamImagesRequest,
  StreamImagesResponse
} from "../../../src/gen/runtime/v1/api.ts"
import { must, mustEqual, mustList, type WorldOf } from "./contract.ts"
import type { Kubelet } from "./kubelet.ts"
import { blank, collected } from "./messages.ts"

const { runtime, image } = handlers

export const version = Effect.gen(function* () {
  const answer = yield* runtime.Version({ version: "v1" })
  yield* must(
    "no field of a version is empty",
    Object.values(answer).every((field) => field !== ""),
    answer
  )
  yield* mustEqual("the API's version", answer.runtimeApiVersion, "v1")
})

const conditions = Effect.gen(function* () {
  const { status, info, runtimeHandlers } = yield* runtime.Status({ verbose: true })
  const found = status?.conditions ?? []
  yield* mustEqual(
    "the list of conditions",
    found.map(({ type }) => type),
    ["RuntimeReady", "NetworkReady"]
  )
  const explained = found.every(({ status, reason, message }) => status || (reason !== "" && message !== ""))
  yield* must("what is not ready says why", explained, found)
  const names = runtimeHandlers.map(({ name }) => name)
  yield* must("handlers are told once, the default one first", names[0] === "" && isSet(names), names)
  for (const text of Object.values(info)) JSON.parse(text)
  return found
})

const isSet = (names: ReadonlyArray<string>): boolean => new Set(names).size === names.length

/** Longer than the daemon waits before it reads the network's configuration again, seconds. */
const recovered = "30 seconds"

/** A fault may show once, while it is there; not for ever. */
export const status = (worldOf: WorldOf) =>
  Effect.gen(function* () {
    const found = yield* conditions
    if (found.every(({ status }) => status)) return
    yield* must("a node without faults is ready", worldOf().calls.struck !== undefined)
    // Nobody has taken a program away.
    const missing = found.filter(({ reason }) => reason.endsWith("Missing"))
    yield* mustEqual("what is said to be missing", missing, [])
    yield* Effect.sleep(recovered)
    const later = yield* conditions
    yield* must(
      "a node is ready again after a fault",
      later.every(({ status }) => status),
      later
    )
  })

export const runtimeConfig = Effect.gen(function* () {
  const { linux } = yield* runtime.RuntimeConfig({})
  yield* mustEqual("the cgroup driver", linux?.cgroupDriver, CgroupDriver.CGROUPFS)
})

/** It takes effect where it is to be seen: CNI plugins have ranges of their own. */
export const updateRuntimeConfig = (worldOf: WorldOf) =>
  Effect.gen(function* () {
    const podCidr = "10.244.7.0/24"
    yield* runtime.UpdateRuntimeConfig({ runtimeConfig: { networkConfig: { podCidr } } })
    const told = worldOf().calls.log.some((line) => line.startsWith("log Info") && line.includes(podCidr))
    yield* must("the log has the pod CIDR once the update is answered", told)
  })

const spec = (name: string): ImageSpec => ({ ...blank(ImageSpec), image: name })

const mustBeWhole = (kubelet: Kubelet, list: string, images: ReadonlyArray<Image>) =>
  Effect.gen(function* () {
    yield* mustList(list, images, ({ id }) => id, kubelet.imageId)
    for (const { repoTags, repoDigests, size } of images) {
      yield* mustEqual("its tags", repoTags, [kubelet.imageName])
      yield* must("it has a digest", repoDigests.length === 1, repoDigests)
      yield* must("it has a size", size > 0n)
    }
  })

export const imageStatus = (kubelet: Kubelet) =>
  Effect.gen(function* () {
    const known = yield* image.ImageStatus({ image: spec(kubelet.imageName), verbose: true })
    yield* mustBeWhole(kubelet, "ImageStatus", known.image === undefined ? [] : [known.image])
    const unknown = yield* image.ImageStatus({ image: spec("registry.test/library/nothing:1"), verbose: false })
    yield* must("an unknown image is unset and no error", unknown.image === undefined, unknown)
  })

export const listImages = (kubelet: Kubelet) =>
  Effect.gen(function* () {
    yield* mustBeWhole(kubelet, "ListImages", (yield* kubelet.images).images)
    const named = yield* image.ListImages({ ...blank(ListImagesRequest), filter: { image: spec(kubelet.imageName) } })
    yield* mustBeWhole(kubelet, "ListImages by name", "images" in named ? named.images : [])
  })

export const streamImages = (kubelet: Kubelet) =>
  Effect.gen(function* () {
    const messages = yield* collected(image.StreamImages(blank(StreamImagesRequest)), StreamImagesResponse)
    const images = messages.flatMap((message) => message.images)
    yield* mustBeWhole(kubelet, "StreamImages", images)
  })

export const imageFsInfo = Effect.gen(function* () {
  const { imageFilesystems, containerFilesystems }: ImageFsInfoResponse = yield* image.ImageFsInfo({})
  const [first] = imageFilesystems
  yield* mustEqual("the file system", first?.fsId?.mountpoint, "/var/lib/containers/storage/overlay-images")
  const used = (first?.usedBytes?.value ?? 0n) > 0n && (first?.inodesUsed?.value ?? 0n) > 0n
  yield* must("an image uses bytes and inodes", used, first)
  yield* must("the usage has a time", (first?.timestamp ?? 0n) > 0n)
  yield* mustEqual("the containers' file system", containerFilesystems, imageFilesystems)
})
