/** Counters and latencies per RPC, under the names and labels that CRI-O's dashboards know. */
import { Duration, Effect, Metric } from "effect"

const operations = Metric.counter("container_runtime_crio_operations_total", {
  description: "RPCs answered, by operation",
  incremental: true
})
const errors = Metric.counter("container_runtime_crio_operations_errors_total", {
  description: "RPCs answered with an error, by operation",
  incremental: true
})
const latest = Metric.gauge("container_runtime_crio_operations_latency_seconds", {
  description: "Seconds that the latest RPC of an operation took"
})
const latencies = Metric.summary("container_runtime_crio_operations_latency_seconds_total", {
  description: "Seconds that RPCs took over the last ten minutes, by operation",
  maxAge: "10 minutes",
  maxSize: 512,
  quantiles: [0.5, 0.9, 0.99]
})

/** Counts one RPC that has ended. */
export type CountRpc = (elapsed: Duration.Duration, failed: boolean) => Effect.Effect<void>

/** Made once per RPC, so that a call looks nothing up. `operation` is the RPC's name ("RunPodSandbox"). */
export const makeRpcMetrics = (operation: string): CountRpc => {
  const labels = { operation }
  const total = Metric.withAttributes(operations, labels)
  const failures = Metric.withAttributes(errors, labels)
  const last = Metric.withAttributes(latest, labels)
  const summary = Metric.withAttributes(latencies, labels)
  return Effect.fnUntraced(function* (elapsed, failed) {
    const seconds = Duration.toSeconds(elapsed)
    yield* Metric.update(total, 1)
    yield* Metric.update(last, seconds)
    yield* Metric.update(summary, seconds)
    if (failed) yield* Metric.update(failures, 1)
  })
}
