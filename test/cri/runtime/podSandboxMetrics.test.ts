import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { listMetricDescriptors } from "../../../src/cri/runtime/listMetricDescriptors.ts"
import { listPodSandboxMetrics } from "../../../src/cri/runtime/listPodSandboxMetrics.ts"
import { streamPodSandboxMetrics } from "../../../src/cri/runtime/streamPodSandboxMetrics.ts"
import {
  ListPodSandboxMetricsResponse,
  MetricType,
  type PodSandboxMetrics,
  StreamPodSandboxMetricsResponse
} from "../../../src/gen/runtime/v1/api.ts"
import { PodMetrics } from "../../../src/stats/PodMetrics.ts"

const sample = { name: "container_x", timestampNs: 5n, labelValues: ["a", "b"], value: 1n << 63n }
const metrics = Layer.succeed(PodMetrics, {
  descriptors: [{ name: "container_x", help: "X.", labelKeys: ["id", "image"] }],
  pods: Effect.succeed([
    {
      podId: "one",
      metrics: [{ ...sample, type: "counter" as const }],
      containers: [{ containerId: "web", metrics: [{ ...sample, type: "gauge" as const, value: 0n }] }]
    },
    { podId: "two", metrics: [], containers: [] }
  ]),
  collect: Effect.void
})

const wire = { name: "container_x", timestamp: 5n, labelValues: ["a", "b"] }
const expected: ReadonlyArray<PodSandboxMetrics> = [
  {
    podSandboxId: "one",
    metrics: [{ ...wire, metricType: MetricType.COUNTER, value: { value: 1n << 63n } }],
    containerMetrics: [
      { containerId: "web", metrics: [{ ...wire, metricType: MetricType.GAUGE, value: { value: 0n } }] }
    ]
  },
  { podSandboxId: "two", metrics: [], containerMetrics: [] }
]

describe("metrics on the wire", () => {
  it.effect("are the same in a list and in a stream", () =>
    Effect.gen(function* () {
      const { bytes } = yield* listPodSandboxMetrics({})
      assert.deepStrictEqual(ListPodSandboxMetricsResponse.decode(bytes).podMetrics, expected)
      const messages = yield* Stream.runCollect(streamPodSandboxMetrics({}))
      const streamed = messages.flatMap((one) => StreamPodSandboxMetricsResponse.decode(one.bytes).podSandboxMetrics)
      assert.deepStrictEqual(streamed, expected)
    }).pipe(Effect.provide(metrics))
  )

  it.effect("have their descriptors", () =>
    Effect.gen(function* () {
      const { descriptors } = yield* listMetricDescriptors({})
      assert.deepStrictEqual(descriptors, [{ name: "container_x", help: "X.", labelKeys: ["id", "image"] }])
    }).pipe(Effect.provide(metrics))
  )
})
