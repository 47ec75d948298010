/** [crio.runtime]: how containers are run and supervised. */
import { list } from "../kind/composite.ts"
import { boolean, integer, oneOf, optionalPath, path, text } from "../kind/scalar.ts"
import { cpuset, idMappings, regularExpression } from "../kind/formats.ts"
import { option, section } from "./option.ts"
import { runtimes } from "./runtimes.ts"
import { security } from "./security.ts"
import { workloads } from "./workloads.ts"

export const runtime = section("How containers are run and supervised.", {
  ...security,
  cgroup_manager: option(oneOf("systemd", "cgroupfs"), {
    default: "systemd",
    doc: "Who creates cgroups. Has to be the driver that kubelet uses (it asks for it by RuntimeConfig).",
    flags: ["cgroup-manager"],
    env: "CONTAINER_CGROUP_MANAGER",
    built: true
  }),
  default_mounts_file: option(optionalPath, {
    default: "",
    doc: "File of `SOURCE:DESTINATION` lines: host paths copied into each container, such as subscriptions.",
    flags: ["default-mounts-file"],
    env: "CONTAINER_DEFAULT_MOUNTS_FILE",
    built: false
  }),
  container_exits_dir: option(path, {
    default: "/var/run/crio/exits",
    doc: "Directory in which conmon leaves a container's exit code; the daemon watches it.",
    flags: ["container-exits-dir"],
    env: "CONTAINER_EXITS_DIR",
    built: true
  }),
  container_attach_socket_dir: option(path, {
    default: "/var/run/crio",
    doc: "Directory of the attach sockets. Keep it short: a socket's path may have 107 bytes.",
    flags: ["container-attach-socket-dir"],
    env: "CONTAINER_ATTACH_SOCKET_DIR",
    built: true
  }),
  bind_mount_prefix: option(optionalPath, {
    default: "",
    doc: "Prefix put before the source of each bind mount, for a daemon that sees the host's root elsewhere.",
    flags: ["bind-mount-prefix"],
    env: "CONTAINER_BIND_MOUNT_PREFIX",
    built: true
  }),
  uid_mappings: option(idMappings, {
    default: "",
    doc: "User id map of all containers: `containerUID:hostUID:size`, several with commas between them.",
    flags: ["uid-mappings"],
    env: "CONTAINER_UID_MAPPINGS",
    deprecated: "use pods with hostUsers: false",
    built: false
  }),
  minimum_mappable_uid: option(integer({ min: -1 }), {
    default: -1,
    doc: "Lowest host user id that a pod's user namespace annotation may map. -1 means no limit.",
    flags: ["minimum-mappable-uid"],
    env: "CONTAINER_MINIMUM_MAPPABLE_UID",
    deprecated: "use pods with hostUsers: false",
    built: false
  }),
  gid_mappings: option(idMappings, {
    default: "",
    doc: "Group id map of all containers: `containerGID:hostGID:size`, several with commas between them.",
    flags: ["gid-mappings"],
    env: "CONTAINER_GID_MAPPINGS",
    deprecated: "use pods with hostUsers: false",
    built: false
  }),
  minimum_mappable_gid: option(integer({ min: -1 }), {
    default: -1,
    doc: "Lowest host group id that a pod's user namespace annotation may map. -1 means no limit.",
    flags: ["minimum-mappable-gid"],
    env: "CONTAINER_MINIMUM_MAPPABLE_GID",
    deprecated: "use pods with hostUsers: false",
    built: false
  }),
  log_level: option(oneOf("fatal", "panic", "error", "warn", "info", "debug", "trace"), {
    default: "info",
    doc: "How much the daemon logs: messages of this level and of those before it.",
    flags: ["log-level", "l"],
    env: "CONTAINER_LOG_LEVEL",
    reload: "signal",
    built: true
  }),
  log_filter: option(regularExpression, {
    default: "",
    doc: "Log only messages that match this regular expression. Empty logs all.",
    flags: ["log-filter"],
    env: "CONTAINER_LOG_FILTER",
    reload: "signal",
    built: true
  }),
  namespaces_dir: option(path, {
    default: "/var/run",
    doc: "Directory under which the namespaces of pods are pinned: netns, ipcns, utsns, userns.",
    flags: ["namespaces-dir"],
    env: "CONTAINER_NAMESPACES_DIR",
    built: true
  }),
  pinns_path: option(optionalPath, {
    default: "",
    doc: "Path of CRI-O's helper that pins namespaces. Cricket pins them itself and needs no helper.",
    flags: ["pinns-path"],
    env: "CONTAINER_PINNS_PATH",
    built: false
  }),
  enable_criu_support: option(boolean, {
    default: true,
    doc: "Allow checkpoint and restore of containers.",
    flags: ["enable-criu-support"],
    env: "CONTAINER_ENABLE_CRIU_SUPPORT",
    deprecated: "use crio.checkpoint_restore",
    built: false
  }),
  pids_limit: option(integer(), {
    default: -1,
    doc: "Most processes and threads a container may have. Below 1: no limit.",
    flags: ["pids-limit"],
    env: "CONTAINER_PIDS_LIMIT",
    deprecated: "set podPidsLimit of kubelet",
    built: true
  }),
  log_size_max: option(
    integer({
      unit: "bytes",
      rule: { holds: (value) => value < 0 || value >= 8192, words: "that is negative (no limit) or at least 8192" }
    }),
    {
      default: -1,
      doc: "Largest size of a container's log file. Negative: no limit.",
      flags: ["log-size-max"],
      env: "CONTAINER_LOG_SIZE_MAX",
      deprecated: "set containerLogMaxSize of kubelet",
      built: true
    }
  ),
  ctr_stop_timeout: option(integer({ min: 0, unit: "seconds" }), {
    default: 30,
    doc: "Grace time for containers that the daemon stops of its own accord. Below 30 counts as 30.",
    flags: ["ctr-stop-timeout"],
    env: "CONTAINER_STOP_TIMEOUT",
    built: false
  }),
  separate_pull_cgroup: option(text, {
    default: "",
    doc: "Cgroup in which image pulls run: a slice, or `pod` for that of the pod. Empty pulls in the daemon.",
    flags: ["separate-pull-cgroup"],
    env: "PULL_IN_A_CGROUP",
    built: false
  }),
  infra_ctr_cpuset: option(cpuset, {
    default: "",
    doc: "CPUs of the pause containers, as a list such as `0-3,7`. Empty: all.",
    flags: ["infra-ctr-cpuset"],
    env: "CONTAINER_INFRA_CTR_CPUSET",
    built: false
  }),
  shared_cpuset: option(cpuset, {
    default: "",
    doc: "CPUs that containers with exclusive CPUs may use in addition when their pod asks for it.",
    flags: ["shared-cpuset"],
    env: "CONTAINER_SHARED_CPUSET",
    built: false
  }),
  absent_mount_sources_to_reject: option(list(path, "absolute paths"), {
    default: [],
    doc: "Sources of bind mounts that are never made: a container whose mount source is missing and listed here fails.",
    flags: ["absent-mount-sources-to-reject"],
    env: "CONTAINER_ABSENT_MOUNT_SOURCES_TO_REJECT",
    built: true
  }),
  enable_pod_events: option(boolean, {
    default: false,
    doc: "Send container events to kubelet (evented PLEG) instead of waiting for its lists.",
    flags: ["enable-pod-events"],
    env: "ENABLE_POD_EVENTS",
    built: true
  }),
  hostnetwork_disable_selinux: option(boolean, {
    default: true,
    doc: "Run pods on the host's network without SELinux separation.",
    flags: ["hostnetwork-disable-selinux"],
    env: "CONTAINER_HOSTNETWORK_DISABLE_SELINUX",
    built: false
  }),
  disable_hostport_mapping: option(boolean, {
    default: false,
    doc: "Leave host ports to the CNI plugins.",
    flags: ["disable-hostport-mapping"],
    env: "DISABLE_HOSTPORT_MAPPING",
    built: true
  }),
  timezone: option(text, {
    default: "",
    doc: "Time zone of containers: a zone's name, `Local` for the host's, or empty to set none.",
    flags: ["timezone", "tz"],
    env: "CONTAINER_TIME_ZONE",
    built: false
  }),
  runtimes,
  workloads
})
