/** Metrics of pods in the CRI's words. */
import { type Metric, MetricType, type PodSandboxMetrics } from "../../gen/runtime/v1/api.ts"
import type { MetricSample, PodMetricSamples } from "../../stats/PodMetrics.ts"

const types: Record<MetricSample["type"], MetricType> = { counter: MetricType.COUNTER, gauge: MetricType.GAUGE }

const toMetric = ({ name, type, timestampNs, labelValues, value }: MetricSample): Metric => ({
  name,
  timestamp: timestampNs,
  metricType: types[type],
  labelValues: [...labelValues],
  value: { value }
})

export const toPodSandboxMetrics = ({ podId, metrics, containers }: PodMetricSamples): PodSandboxMetrics => ({
  podSandboxId: podId,
  metrics: metrics.map(toMetric),
  containerMetrics: containers.map(({ containerId, metrics }) => ({ containerId, metrics: metrics.map(toMetric) }))
})
