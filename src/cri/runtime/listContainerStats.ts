/** RuntimeService.ListContainerStats: of running containers; one whose cgroup has just gone is left out. */
import { BinaryWriter } from "@bufbuild/protobuf/wire"
import { Effect } from "effect"
import { ContainerStats, type ContainerStatsFilter, type ListContainerStatsRequest } from "../../gen/runtime/v1/api.ts"
import type { ContainerRecord } from "../../pod/ContainerRecord.ts"
import { isRunning } from "../../pod/ContainerState.ts"
import { Pods } from "../../pod/Pods.ts"
import type { ContainerSample } from "../../stats/Sample.ts"
import { Sampler } from "../../stats/Sampler.ts"
import { inOneMessage, type ItemType } from "../streamed.ts"
import { containerMatches } from "./containerWire.ts"
import { toContainerIdentity, toContainerUsage } from "./statsWire.ts"

export const containerSamplesLike = Effect.fnUntraced(function* (filter: ContainerStatsFilter | undefined) {
  const { containers } = yield* (yield* Pods).snapshot
  const like = filter === undefined ? undefined : { ...filter, state: undefined }
  const wanted = Array.from(containers.values()).filter((one) => isRunning(one.state) && containerMatches(one, like))
  const samples = yield* (yield* Sampler).containers(wanted)
  return samples.filter(({ usage }) => usage !== undefined)
})

/** What stays the same from sample to sample: most of the bytes, once kubelet has put its labels there. */
const encodedIdentities = new WeakMap<ContainerRecord, Uint8Array>()

/** By the sample itself: kubelet's several callers get the same one. */
const encodedSamples = new WeakMap<ContainerSample, Uint8Array>()

const remembered = <A extends object>(known: WeakMap<A, Uint8Array>, key: A, encode: () => Uint8Array): Uint8Array => {
  const found = known.get(key)
  if (found !== undefined) return found
  const bytes = encode()
  known.set(key, bytes)
  return bytes
}

/** Encoded once per sample, not once per request; all that a request encodes passes through one buffer. */
export const encodedContainerStats = (): ItemType<ContainerSample> => {
  const writer = new BinaryWriter()
  const encode = (sample: ContainerSample): Uint8Array => {
    const { container } = sample
    const identity = remembered(encodedIdentities, container, () =>
      ContainerStats.encode(toContainerIdentity(container)).finish()
    )
    return ContainerStats.encode(toContainerUsage(sample), writer.raw(identity)).finish()
  }
  return { encode: (sample) => ({ finish: () => remembered(encodedSamples, sample, () => encode(sample)) }) }
}

export const listContainerStats = Effect.fn("RuntimeService.ListContainerStats")(function* ({
  filter
}: ListContainerStatsRequest) {
  return inOneMessage(encodedContainerStats(), yield* containerSamplesLike(filter))
})
