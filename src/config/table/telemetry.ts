/** [crio.metrics], [crio.tracing] and [crio.stats]. */
import { list } from "../kind/composite.ts"
import { boolean, integer, oneOf, optionalPath, text } from "../kind/scalar.ts"
import { hostPort } from "../kind/formats.ts"
import { option, section } from "./option.ts"

const collectors = [
  "image_pulls_layer_size",
  "containers_events_dropped_total",
  "containers_oom_total",
  "processes_defunct",
  "operations_total",
  "operations_latency_seconds",
  "operations_latency_seconds_total",
  "operations_errors_total",
  "image_pulls_bytes_total",
  "image_pulls_skipped_bytes_total",
  "image_pulls_failure_total",
  "image_pulls_success_total",
  "image_layer_reuse_total",
  "containers_oom_count_total",
  "containers_seccomp_notifier_count_total",
  "resources_stalled_at_stage",
  "containers_stopped_monitor_count",
  "default_runtime"
]

export const metrics = section("Metrics for Prometheus.", {
  enable_metrics: option(boolean, {
    default: false,
    doc: "Serve metrics for Prometheus.",
    flags: ["enable-metrics"],
    env: "CONTAINER_ENABLE_METRICS",
    built: false
  }),
  metrics_collectors: option(list(text, "names of collectors"), {
    default: collectors,
    doc: "Metrics to serve, with or without the prefix `crio_` or `container_runtime_`.",
    flags: ["metrics-collectors"],
    env: "CONTAINER_METRICS_COLLECTORS",
    built: false
  }),
  metrics_host: option(text, {
    default: "127.0.0.1",
    doc: "Address to which the metrics server binds.",
    flags: ["metrics-host"],
    env: "CONTAINER_METRICS_HOST",
    built: false
  }),
  metrics_port: option(integer({ min: 0, max: 65535 }), {
    default: 9090,
    doc: "TCP port of the metrics server.",
    flags: ["metrics-port"],
    env: "CONTAINER_METRICS_PORT",
    built: false
  }),
  metrics_socket: option(optionalPath, {
    default: "",
    doc: "Unix socket on which metrics are served as well.",
    flags: ["metrics-socket"],
    env: "CONTAINER_METRICS_SOCKET",
    built: false
  }),
  metrics_cert: option(optionalPath, {
    default: "",
    doc: "Certificate (PEM) of the metrics server. Made anew when the file is missing.",
    flags: ["metrics-cert"],
    env: "CONTAINER_METRICS_CERT",
    built: false
  }),
  metrics_key: option(optionalPath, {
    default: "",
    doc: "Private key (PEM) of the metrics server. Made anew when the file is missing.",
    flags: ["metrics-key"],
    env: "CONTAINER_METRICS_KEY",
    built: false
  })
})

export const tracing = section("OpenTelemetry traces.", {
  enable_tracing: option(boolean, {
    default: false,
    doc: "Export OpenTelemetry spans.",
    flags: ["enable-tracing"],
    env: "CONTAINER_ENABLE_TRACING",
    built: false
  }),
  tracing_endpoint: option(hostPort, {
    default: "127.0.0.1:4317",
    doc: "Address of the OTLP collector (gRPC, plain text).",
    flags: ["tracing-endpoint"],
    env: "CONTAINER_TRACING_ENDPOINT",
    built: false
  }),
  tracing_sampling_rate_per_million: option(integer({ min: 0, max: 1000000 }), {
    default: 0,
    doc: "How many of a million root spans are kept. 1000000 keeps all.",
    flags: ["tracing-sampling-rate-per-million"],
    env: "CONTAINER_TRACING_SAMPLING_RATE_PER_MILLION",
    built: false
  })
})

export const stats = section("Statistics of pods and containers.", {
  stats_collection_period: option(integer({ min: 0, unit: "seconds" }), {
    default: 0,
    doc: "How often CRI statistics are collected. 0 collects when asked.",
    flags: ["stats-collection-period"],
    env: "CONTAINER_STATS_COLLECTION_PERIOD",
    deprecated: "use collection_period",
    built: true
  }),
  collection_period: option(integer({ min: 0, unit: "seconds" }), {
    default: 0,
    doc: "How often statistics and pod metrics are collected. 0 collects when asked.",
    flags: ["collection-period"],
    env: "COLLECTION_PERIOD",
    built: true
  }),
  included_pod_metrics: option(
    list(
      oneOf("all", "cpu", "disk", "diskIO", "hugetlb", "memory", "network", "oom", "process", "spec", "pressure"),
      "metric groups"
    ),
    {
      default: [],
      doc: "Groups of metrics in the answer to ListPodSandboxMetrics.",
      flags: ["included-pod-metrics"],
      env: "CONTAINER_INCLUDED_POD_METRICS",
      built: true
    }
  )
})
