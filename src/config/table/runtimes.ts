/** [crio.runtime.runtimes.*]: the runtime handlers. */
import { list, mapOf } from "../kind/composite.ts"
import { boolean, integer, oneOf, optionalPath, path, text } from "../kind/scalar.ts"
import { memorySize } from "../kind/units.ts"
import { keyValue, monitorCgroup } from "../kind/formats.ts"
import { collection, option } from "./option.ts"

/** The built-in handlers keep their state where CRI-O's do, so that both see the same containers. */
export const runtimes = collection(
  {
    doc: "Runtime handlers by name. A pod chooses one by its RuntimeClass.",
    flags: ["runtimes"],
    env: "CONTAINER_RUNTIMES",
    reload: "signal",
    built: true,
    validName: /^[A-Za-z0-9][A-Za-z0-9._-]*$/
  },
  {
    runtime_path: option(optionalPath, {
      default: "",
      doc: "Path of the OCI runtime. Empty looks the handler's name up in PATH.",
      reload: "signal",
      built: true
    }),
    runtime_type: option(oneOf("oci", "vm", "pod"), {
      default: "oci",
      doc: "How containers are supervised: `oci` by a conmon each, `vm` by a containerd shim, `pod` by a conmon-rs per pod.",
      reload: "signal",
      built: false
    }),
    runtime_root: option(optionalPath, {
      default: "",
      doc: "State directory of the OCI runtime, passed as --root. Empty leaves it to the runtime.",
      reload: "signal",
      built: true
    }),
    runtime_config_path: option(optionalPath, {
      default: "",
      doc: "Configuration file for the shim (type vm).",
      reload: "signal",
      built: false
    }),
    inherit_default_runtime: option(boolean, {
      default: false,
      doc: "Take path, type and root from the handler that default_runtime names.",
      reload: "signal",
      built: true
    }),
    privileged_without_host_devices: option(boolean, {
      default: false,
      doc: "Privileged containers do not get the host's devices.",
      reload: "signal",
      built: true
    }),
    allowed_annotations: option(list(text, "strings"), {
      default: [],
      doc: "Annotations with effect that pods with this handler may use.",
      reload: "signal",
      built: true
    }),
    monitor_path: option(optionalPath, {
      default: "",
      doc: "Path of conmon. Empty looks it up in PATH.",
      reload: "signal",
      built: true
    }),
    monitor_cgroup: option(monitorCgroup, {
      default: "system.slice",
      doc: "Cgroup in which conmon runs: a slice, `pod` for that of the pod, or empty for none of its own.",
      reload: "signal",
      built: true
    }),
    monitor_env: option(list(keyValue, keyValue.expected), {
      default: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
      doc: "Environment of conmon.",
      reload: "signal",
      built: true
    }),
    monitor_exec_cgroup: option(oneOf("", "container"), {
      default: "",
      doc: "`container` puts what watches over an ExecSync into the container's cgroup.",
      reload: "signal",
      built: true
    }),
    platform_runtime_paths: option(mapOf(path, "absolute paths by os/arch"), {
      default: {},
      doc: "OCI runtimes for containers of images of other platforms, by `os/arch` or `os/arch/variant`.",
      reload: "signal",
      built: true
    }),
    runtime_pull_image: option(boolean, {
      default: false,
      doc: "The guest pulls the image itself (type vm).",
      reload: "signal",
      built: false
    }),
    container_min_memory: option(memorySize(12 * 1024 * 1024), {
      default: 12 * 1024 * 1024,
      doc: "Smallest memory limit that a container may have.",
      reload: "signal",
      built: true
    }),
    no_sync_log: option(boolean, {
      default: false,
      doc: "Do not flush a container's log to disk when the container ends (type oci).",
      reload: "signal",
      built: true
    }),
    default_annotations: option(mapOf(text, "strings"), {
      default: {},
      doc: "Annotations written to each container's OCI specification unless the pod has them.",
      reload: "signal",
      built: true
    }),
    stream_websockets: option(boolean, {
      default: false,
      doc: "Let the pod's monitor serve exec and attach by WebSocket (type pod).",
      reload: "signal",
      built: false
    }),
    exec_cpu_affinity: option(oneOf("", "first"), {
      default: "",
      doc: "`first` pins processes started by exec to the first of the container's CPUs.",
      reload: "signal",
      built: true
    }),
    seccomp_profile: option(optionalPath, {
      default: "",
      doc: "Seccomp profile (JSON) that RuntimeDefault stands for with this handler. Empty means crio.runtime.seccomp_profile.",
      reload: "signal",
      built: true
    }),
    container_create_timeout: option(integer({ min: 0, unit: "seconds" }), {
      default: 240,
      doc: "Longest time that creating a container may take. Below 30 counts as 30, and 0 as 240.",
      reload: "signal",
      built: true
    })
  },
  {
    crun: {
      runtime_root: "/run/crun",
      allowed_annotations: ["io.containers.trace-syscall", "devices.crio.io"],
      container_min_memory: 500 * 1024
    },
    runc: { runtime_root: "/run/runc" }
  }
)
