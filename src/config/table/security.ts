/** [crio.runtime], first part: what a container gets by default and what confines it. */
import { list } from "../kind/composite.ts"
import { boolean, integer, optionalPath, path, text } from "../kind/scalar.ts"
import { capability, device, handlerName, keyValue, monitorCgroup, restoreFile, ulimit } from "../kind/formats.ts"
import { option } from "./option.ts"

/** Members of [crio.runtime]; `runtime.ts` puts them together. */
export const security = {
  no_pivot: option(boolean, {
    default: false,
    doc: "Ask the OCI runtime to use MS_MOVE instead of pivot_root, for hosts that run from a RAM disk.",
    flags: ["no-pivot"],
    env: "CONTAINER_NO_PIVOT",
    built: false
  }),
  selinux: option(boolean, {
    default: false,
    doc: "Apply SELinux labels to containers and their files.",
    flags: ["selinux"],
    env: "CONTAINER_SELINUX",
    deprecated: "the host's state will decide",
    built: false
  }),
  log_to_journald: option(boolean, {
    default: false,
    doc: "Send container output to the journal as well as to the log file.",
    flags: ["log-journald"],
    env: "CONTAINER_LOG_JOURNALD",
    built: false
  }),
  drop_infra_ctr: option(boolean, {
    default: true,
    doc: "Run no pause container in pods whose containers share no PID namespace.",
    flags: ["drop-infra-ctr"],
    env: "CONTAINER_DROP_INFRA_CTR",
    built: false
  }),
  read_only: option(boolean, {
    default: false,
    doc: "Make every container's root file system read-only, with a tmpfs on /run, /tmp and /var/tmp.",
    flags: ["read-only"],
    env: "CONTAINER_READ_ONLY",
    built: true
  }),
  conmon: option(optionalPath, {
    default: "",
    doc: "Path of conmon for all handlers, whatever they name.",
    flags: ["conmon"],
    env: "CONTAINER_CONMON",
    deprecated: "set monitor_path of the runtime handler",
    built: true
  }),
  conmon_cgroup: option(monitorCgroup, {
    default: "",
    doc: "Cgroup of conmon for all handlers, whatever they name.",
    flags: ["conmon-cgroup"],
    env: "CONTAINER_CONMON_CGROUP",
    deprecated: "set monitor_cgroup of the runtime handler",
    built: true
  }),
  conmon_env: option(list(keyValue, keyValue.expected), {
    default: [],
    doc: "Environment of conmon for all handlers, whatever they name.",
    flags: ["conmon-env"],
    env: "CONTAINER_CONMON_ENV",
    deprecated: "set monitor_env of the runtime handler",
    built: true
  }),
  hooks_dir: option(list(path, "absolute paths"), {
    default: ["/usr/share/containers/oci/hooks.d"],
    doc: "Directories with OCI hook definitions (`*.json`). Of two definitions with one file name that of the later directory counts.",
    flags: ["hooks-dir"],
    env: "CONTAINER_HOOKS_DIR",
    reload: "watched",
    built: true
  }),
  default_capabilities: option(list(capability, "capability names"), {
    default: ["CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "SETGID", "SETUID", "SETPCAP", "NET_BIND_SERVICE", "KILL"],
    doc: "Capabilities of a container before the pod adds and drops its own.",
    flags: ["default-capabilities"],
    env: "CONTAINER_DEFAULT_CAPABILITIES",
    built: true
  }),
  add_inheritable_capabilities: option(boolean, {
    default: false,
    doc: "Put the capabilities into the inheritable set too. Makes file capabilities work for other users than root, and is a risk.",
    flags: ["add-inheritable-capabilities"],
    env: "CONTAINER_ADD_INHERITABLE_CAPABILITIES",
    built: true
  }),
  default_env: option(list(keyValue, keyValue.expected), {
    default: [],
    doc: "Environment variables (KEY=VALUE) for every container in which neither the pod nor the image sets them.",
    flags: ["default-env"],
    env: "CONTAINER_DEFAULT_ENV",
    built: true
  }),
  min_injected_gomaxprocs: option(integer({ min: 0 }), {
    default: 0,
    doc: "When positive: set GOMAXPROCS from the container's CPU request, but not below this number.",
    flags: ["min-injected-gomaxprocs"],
    env: "CONTAINER_INJECT_GOMAXPROCS",
    built: false
  }),
  default_sysctls: option(list(keyValue, keyValue.expected), {
    default: [],
    doc: "Sysctls (key=value) of every pod; those of a namespace that the pod shares with the host are left out.",
    flags: ["default-sysctls"],
    env: "CONTAINER_DEFAULT_SYSCTLS",
    built: true
  }),
  default_ulimits: option(list(ulimit, ulimit.expected), {
    default: [],
    doc: "Resource limits (name=soft:hard) of every container.",
    flags: ["default-ulimits"],
    env: "CONTAINER_DEFAULT_ULIMITS",
    built: true
  }),
  allowed_devices: option(list(path, "absolute paths"), {
    default: ["/dev/fuse", "/dev/net/tun"],
    doc: "Devices that a pod may ask for by annotation.",
    flags: ["allowed-devices"],
    env: "CONTAINER_ALLOWED_DEVICES",
    built: true
  }),
  additional_devices: option(list(device, device.expected), {
    default: [],
    doc: "Devices given to every container: path on the host, path in the container, permissions (`/dev/sdc:/dev/xvdc:rwm`); the latter two may be left out.",
    flags: ["additional-devices"],
    env: "CONTAINER_ADDITIONAL_DEVICES",
    built: true
  }),
  cdi_spec_dirs: option(list(path, "absolute paths"), {
    default: ["/etc/cdi", "/var/run/cdi"],
    doc: "Directories searched for CDI device specifications; of two with one name that of the later directory counts.",
    flags: ["cdi-spec-dirs"],
    env: "CONTAINER_CDI_SPEC_DIRS",
    reload: "signal",
    built: true
  }),
  device_ownership_from_security_context: option(boolean, {
    default: false,
    doc: "Give a container's devices to the user and group that it runs as.",
    flags: ["device-ownership-from-security-context"],
    built: true
  }),
  default_runtime: option(handlerName, {
    default: "crun",
    doc: "Runtime handler for pods that name none. One of the handlers below.",
    flags: ["default-runtime"],
    env: "CONTAINER_DEFAULT_RUNTIME",
    reload: "signal",
    built: true
  }),
  decryption_keys_path: option(optionalPath, {
    default: "/etc/crio/keys/",
    doc: "Directory of private keys for encrypted image layers.",
    flags: ["decryption-keys-path"],
    reload: "signal",
    built: false
  }),
  additional_artifact_stores: option(list(path, "absolute paths"), {
    default: [],
    doc: "Read-only OCI layouts in which artifacts are looked up before they are pulled.",
    flags: ["additional-artifact-stores"],
    built: false
  }),
  seccomp_profile: option(optionalPath, {
    default: "",
    doc: "Seccomp profile (JSON) that RuntimeDefault stands for. Empty means the built-in one.",
    flags: ["seccomp-profile"],
    env: "CONTAINER_SECCOMP_PROFILE",
    reload: "signal",
    built: true
  }),
  privileged_seccomp_profile: option(optionalPath, {
    default: "",
    doc: "Seccomp profile (JSON) for privileged containers. Empty leaves them unconfined.",
    flags: ["privileged-seccomp-profile"],
    env: "CONTAINER_PRIVILEGED_SECCOMP_PROFILE",
    reload: "signal",
    built: true
  }),
  apparmor_profile: option(text, {
    default: "crio-default",
    doc: "AppArmor profile that RuntimeDefault stands for.",
    flags: ["apparmor-profile"],
    env: "CONTAINER_APPARMOR_PROFILE",
    reload: "signal",
    built: true
  }),
  blockio_config_file: option(optionalPath, {
    default: "",
    doc: "Definitions of the block I/O classes that pods choose by annotation.",
    flags: ["blockio-config-file"],
    reload: "signal",
    built: false
  }),
  blockio_reload: option(boolean, {
    default: false,
    doc: "Read the block I/O definitions and scan the block devices anew before each container.",
    flags: ["blockio-reload"],
    reload: "signal",
    built: false
  }),
  irqbalance_config_file: option(optionalPath, {
    default: "/etc/sysconfig/irqbalance",
    doc: "Configuration of irqbalance, edited when a container asks for CPUs without interrupts.",
    flags: ["irqbalance-config-file"],
    built: false
  }),
  irqbalance_config_restore_file: option(restoreFile, {
    default: "/etc/sysconfig/orig_irq_banned_cpus",
    doc: "File that keeps the original banned CPUs, restored at start. `disable` switches that off.",
    flags: ["irqbalance-config-restore-file"],
    built: false
  }),
  rdt_config_file: option(optionalPath, {
    default: "",
    doc: "Definitions of the Intel RDT classes (resctrl) that pods choose by annotation.",
    flags: ["rdt-config-file"],
    reload: "signal",
    built: false
  })
}
