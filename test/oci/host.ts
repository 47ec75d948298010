/** A host, a handler and an image to make specifications for. */
import { Result } from "effect"
import type { HostFactsShape } from "../../src/oci/HostFacts.ts"
import type { RuntimeEntry, RuntimeHandler } from "../../src/oci/RuntimeHandlers.ts"
import { capabilityNames } from "../../src/oci/spec/capabilities.ts"
import type { Fault } from "../../src/oci/spec/fault.ts"
import type { ImageDefaults } from "../../src/oci/spec/input.ts"

export const image: ImageDefaults = {
  User: "",
  Env: [],
  Entrypoint: [],
  Cmd: [],
  WorkingDir: "",
  Volumes: {}
}

export const facts: HostFactsShape = {
  capabilities: new Set(capabilityNames),
  oomScoreAdj: 0,
  hardLimits: new Map([["RLIMIT_NOFILE", 20000n]]),
  cgroupVersion: 2,
  swapLimit: true,
  hugepages: true,
  seccomp: true,
  apparmor: false,
  selinux: false,
  userNamespaces: true,
  architecture: "amd64",
  kernel: [6, 18]
}

export const entry: RuntimeEntry = {
  runtime_path: "",
  runtime_root: "",
  runtime_type: "oci",
  inherit_default_runtime: false,
  privileged_without_host_devices: false,
  allowed_annotations: [],
  default_annotations: {},
  monitor_path: "",
  monitor_cgroup: "",
  monitor_env: [],
  container_min_memory: 500 * 1024,
  no_sync_log: false,
  stream_websockets: false,
  monitor_exec_cgroup: "",
  platform_runtime_paths: {},
  seccomp_profile: "",
  exec_cpu_affinity: "",
  container_create_timeout: 240
}

export const handler: RuntimeHandler = {
  name: "crun",
  kind: "crun",
  path: "/usr/bin/crun",
  version: "1.8.1",
  root: "/run/crun",
  features: { recursiveReadOnlyMounts: true, userNamespaces: true },
  options: entry,
  platforms: new Map()
}

/** Of a [crio.runtime] that says nothing about monitors. */
export const unmonitored = { cgroup_manager: "cgroupfs", conmon: "", conmon_cgroup: "", conmon_env: [] } as const

/** "value" of a success, "kind field: reason" of a failure: for tables. */
export const outcome = <A>(result: Result.Result<A, Fault>): A | string =>
  Result.match(result, {
    onSuccess: (value): A | string => value,
    onFailure: ({ kind, field, reason }) => `${kind} ${field}: ${reason}`
  })
