/** RuntimeService.ListMetricDescriptors: kubelet asks once, and drops metrics that are not described. */
import { Effect } from "effect"
import type { ListMetricDescriptorsRequest, ListMetricDescriptorsResponse } from "../../gen/runtime/v1/api.ts"
import { PodMetrics } from "../../stats/PodMetrics.ts"

export const listMetricDescriptors = Effect.fn("RuntimeService.ListMetricDescriptors")(function* (
  _request: ListMetricDescriptorsRequest
) {
  const { descriptors } = yield* PodMetrics
  return {
    descriptors: descriptors.map(({ labelKeys, ...rest }) => ({ ...rest, labelKeys: [...labelKeys] }))
  } satisfies ListMetricDescriptorsResponse
})
