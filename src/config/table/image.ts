/** [crio.image] and [crio.checkpoint_restore]. */
import { Duration } from "effect"
import { list } from "../kind/composite.ts"
import { boolean, oneOf, optionalPath, path, text } from "../kind/scalar.ts"
import { duration } from "../kind/units.ts"
import { option, section } from "./option.ts"

export const image = section("Images: where they come from and which are trusted.", {
  default_transport: option(text, {
    default: "docker://",
    doc: "Transport put before image names that carry none.",
    flags: ["default-transport"],
    env: "CONTAINER_DEFAULT_TRANSPORT",
    built: false
  }),
  global_auth_file: option(optionalPath, {
    default: "",
    doc: "Registry credentials (the format of docker's config.json) for pulls that bring none of their own.",
    flags: ["global-auth-file"],
    env: "CONTAINER_GLOBAL_AUTH_FILE",
    built: true
  }),
  namespaced_auth_dir: option(optionalPath, {
    default: "/etc/crio/auth",
    doc: "Directory of credentials per Kubernetes namespace, written by CRI-O's credential provider.",
    flags: ["namespaced-auth-dir"],
    env: "CONTAINER_NAMESPACED_AUTH_DIR",
    built: false
  }),
  pause_image: option(text, {
    default: "registry.k8s.io/pause:3.10.1",
    doc: "Image of the pause container, for pods that need one.",
    flags: ["pause-image"],
    env: "CONTAINER_PAUSE_IMAGE",
    reload: "signal",
    built: true
  }),
  pause_image_auth_file: option(optionalPath, {
    default: "",
    doc: "Credentials for pulling the pause image.",
    flags: ["pause-image-auth-file"],
    env: "CONTAINER_PAUSE_IMAGE_AUTH_FILE",
    reload: "signal",
    built: false
  }),
  pause_command: option(text, {
    default: "/pause",
    doc: "Command of the pause container. Empty takes the image's own.",
    flags: ["pause-command"],
    env: "CONTAINER_PAUSE_COMMAND",
    reload: "signal",
    built: true
  }),
  pinned_images: option(list(text, "strings"), {
    default: [],
    doc: "Images that kubelet must not collect: a name, a prefix followed by `*`, or a `*keyword*`.",
    flags: ["pinned-images"],
    env: "CONTAINER_PINNED_IMAGES",
    reload: "signal",
    built: true
  }),
  signature_policy: option(optionalPath, {
    default: "",
    doc: "Policy that decides which images are trusted (containers-policy.json). Empty means the system's.",
    flags: ["signature-policy"],
    env: "CONTAINER_SIGNATURE_POLICY",
    built: true
  }),
  signature_policy_dir: option(path, {
    default: "/etc/crio/policies",
    doc: "Directory of policies per Kubernetes namespace, named NAMESPACE.json.",
    flags: ["signature-policy-dir"],
    env: "CONTAINER_SIGNATURE_POLICY_DIR",
    built: true
  }),
  insecure_registries: option(list(text, "strings"), {
    default: [],
    doc: "Without effect, as in CRI-O.",
    flags: ["insecure-registry"],
    env: "CONTAINER_INSECURE_REGISTRY",
    deprecated: "set insecure in registries.conf",
    built: false
  }),
  image_volumes: option(oneOf("mkdir", "bind", "ignore"), {
    default: "mkdir",
    doc: "What to do with paths that an image declares as volumes: make a directory in the container, mount a directory of the container's own, or nothing.",
    flags: ["image-volumes"],
    env: "CONTAINER_IMAGE_VOLUMES",
    built: true
  }),
  big_files_temporary_dir: option(optionalPath, {
    default: "",
    doc: "Directory for large temporary files of a pull. Empty means the store's own.",
    flags: ["big-files-temporary-dir"],
    env: "CONTAINER_BIG_FILES_TEMPORARY_DIR",
    built: false
  }),
  auto_reload_registries: option(boolean, {
    default: false,
    doc: "Watch registries.conf and its drop-ins and apply changes.",
    flags: ["auto-reload-registries"],
    env: "AUTO_RELOAD_REGISTRIES",
    built: false
  }),
  pull_progress_timeout: option(duration, {
    default: Duration.seconds(0),
    doc: "Cancel a pull that makes no progress for this long. 0 never cancels.",
    flags: ["pull-progress-timeout"],
    env: "CONTAINER_PULL_PROGRESS_TIMEOUT",
    built: true
  }),
  oci_artifact_mount_support: option(boolean, {
    default: true,
    doc: "Let image volumes be OCI artifacts, not only images.",
    flags: ["oci-artifact-mount-support"],
    env: "CONTAINER_OCI_ARTIFACT_SUPPORT",
    built: false
  }),
  short_name_mode: option(oneOf("enforcing", "disabled"), {
    default: "enforcing",
    doc: "Image names without a registry that several registries could answer: `enforcing` refuses them, `disabled` tries the registries in turn.",
    flags: ["short-name-mode"],
    env: "CONTAINER_SHORT_NAME_MODE",
    built: true
  })
})

export const checkpointRestore = section("Checkpoint and restore of containers.", {
  container_level_enabled: option(oneOf("none", "checkpoint_only", "checkpoint_restore"), {
    default: "checkpoint_restore",
    doc: "What is allowed for single containers: nothing, checkpoint, or checkpoint and restore.",
    flags: ["checkpoint-restore-container-level-enabled"],
    env: "CONTAINER_CHECKPOINT_RESTORE_CONTAINER_LEVEL_ENABLED",
    built: false
  })
})
