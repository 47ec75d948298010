/** [crio.network]: CNI. */
import { Duration } from "effect"
import { list } from "../kind/composite.ts"
import { optionalPath, path, text } from "../kind/scalar.ts"
import { duration } from "../kind/units.ts"
import { option, section } from "./option.ts"

export const network = section("Pod networks by CNI.", {
  cni_default_network: option(text, {
    default: "",
    doc: "Name of the CNI network for pods. Empty takes the first configuration of the directory.",
    flags: ["cni-default-network"],
    env: "CONTAINER_CNI_DEFAULT_NETWORK",
    built: true
  }),
  network_dir: option(path, {
    default: "/etc/cni/net.d/",
    doc: "Directory of CNI configurations.",
    flags: ["cni-config-dir"],
    env: "CONTAINER_CNI_CONFIG_DIR",
    reload: "watched",
    built: true
  }),
  plugin_dir: option(optionalPath, {
    default: "",
    doc: "One more directory of CNI plugins, searched first.",
    deprecated: "use plugin_dirs",
    built: true
  }),
  plugin_dirs: option(list(path, "absolute paths"), {
    default: ["/opt/cni/bin/"],
    doc: "Directories of CNI plugins, searched in order.",
    flags: ["cni-plugin-dir"],
    env: "CONTAINER_CNI_PLUGIN_DIR",
    built: true
  }),
  cni_status_grace_period: option(duration, {
    default: Duration.seconds(0),
    doc: "How long the network stays ready although the plugin's STATUS fails. 0 reports the first failure.",
    flags: ["cni-status-grace-period"],
    env: "CNI_STATUS_GRACE_PERIOD",
    built: true
  })
})
