/** [crio]: where things are kept. */
import { list } from "../kind/composite.ts"
import { boolean, oneOf, optionalPath, path } from "../kind/scalar.ts"
import { keyValue } from "../kind/formats.ts"
import { option, section } from "./option.ts"

export const crio = section("Where the daemon keeps its data.", {
  root: option(path, {
    default: "/var/lib/containers/storage",
    doc: "Top directory of the persistent store: layers, images and the containers' writable layers. Shared with podman, skopeo and buildah.",
    flags: ["root", "r"],
    env: "CONTAINER_ROOT",
    built: true
  }),
  runroot: option(path, {
    default: "/run/containers/storage",
    doc: "Directory of the store's volatile state. Belongs on a tmpfs.",
    flags: ["runroot"],
    env: "CONTAINER_RUNROOT",
    built: true
  }),
  imagestore: option(optionalPath, {
    default: "",
    doc: "A second directory that holds the image layers, so that `root` keeps only the containers' writable layers. Empty: everything is in `root`.",
    flags: ["imagestore"],
    env: "CONTAINER_IMAGESTORE",
    built: false
  }),
  storage_driver: option(oneOf("overlay", ""), {
    default: "overlay",
    doc: "Storage driver that keeps layers and mounts containers. Empty chooses the driver by what the file system offers.",
    flags: ["storage-driver", "s"],
    env: "CONTAINER_STORAGE_DRIVER",
    built: true
  }),
  storage_option: option(list(keyValue, keyValue.expected), {
    default: [],
    doc: "Options of the storage driver, each `driver.key=value`.",
    flags: ["storage-opt"],
    env: "CONTAINER_STORAGE_OPT",
    built: false
  }),
  log_dir: option(path, {
    default: "/var/log/crio/pods",
    doc: "Directory for container logs of pods whose sandbox request names no log directory.",
    flags: ["log-dir"],
    env: "CONTAINER_LOG_DIR",
    built: true
  }),
  version_file: option(optionalPath, {
    default: "/var/run/crio/version",
    doc: "Version stamp on a tmpfs. When it is missing, the node was rebooted since the last start.",
    flags: ["version-file"],
    env: "CONTAINER_VERSION_FILE",
    built: false
  }),
  version_file_persist: option(optionalPath, {
    default: "",
    doc: "Version stamp on disk. A change of the minor version at the next start removes the images. Empty keeps images across upgrades.",
    flags: ["version-file-persist"],
    env: "CONTAINER_VERSION_FILE_PERSIST",
    built: false
  }),
  clean_shutdown_file: option(optionalPath, {
    default: "/var/lib/crio/clean.shutdown",
    doc: "Marker of an orderly stop. When it is missing at the next start, the store is checked. Empty disables the check.",
    flags: ["clean-shutdown-file"],
    env: "CONTAINER_CLEAN_SHUTDOWN_FILE",
    built: false
  }),
  internal_wipe: option(boolean, {
    default: true,
    doc: "The daemon itself removes containers after a reboot and images after an upgrade.",
    flags: ["internal-wipe"],
    env: "CONTAINER_INTERNAL_WIPE",
    deprecated: "the daemon always reconciles at start; leave it at true",
    built: false
  }),
  internal_repair: option(boolean, {
    default: true,
    doc: "Check the store after an unclean stop and repair what is damaged.",
    flags: ["internal-repair"],
    env: "CONTAINER_INTERNAL_REPAIR",
    built: false
  })
})
