/** [crio.nri]: plugins of the Node Resource Interface. */
import { Duration } from "effect"
import { list } from "../kind/composite.ts"
import { boolean, path, text } from "../kind/scalar.ts"
import { duration } from "../kind/units.ts"
import { option, section } from "./option.ts"

export const nri = section("Plugins of the Node Resource Interface.", {
  enable_nri: option(boolean, {
    default: true,
    doc: "Accept plugins of the Node Resource Interface.",
    flags: ["enable-nri"],
    built: false
  }),
  nri_listen: option(path, {
    default: "/var/run/nri/nri.sock",
    doc: "Socket on which plugins register.",
    flags: ["nri-listen"],
    built: false
  }),
  nri_plugin_dir: option(path, {
    default: "/opt/nri/plugins",
    doc: "Directory of the plugins that the daemon starts.",
    flags: ["nri-plugin-dir"],
    built: false
  }),
  nri_plugin_config_dir: option(path, {
    default: "/etc/nri/conf.d",
    doc: "Directory of those plugins' configurations.",
    flags: ["nri-plugin-config-dir"],
    built: false
  }),
  nri_plugin_registration_timeout: option(duration, {
    default: Duration.seconds(5),
    doc: "Time in which a started plugin has to register.",
    flags: ["nri-plugin-registration-timeout"],
    built: false
  }),
  nri_plugin_request_timeout: option(duration, {
    default: Duration.seconds(2),
    doc: "Time in which a plugin has to answer one event.",
    flags: ["nri-plugin-request-timeout"],
    built: false
  }),
  nri_disable_connections: option(boolean, {
    default: false,
    doc: "Refuse plugins that the daemon did not start.",
    flags: ["nri-disable-connections"],
    built: false
  }),
  default_validator: section("Built-in check of the changes that plugins make.", {
    nri_enable_default_validator: option(boolean, {
      default: false,
      doc: "Check the changes that plugins make by the rules below.",
      flags: ["nri-enable-default-validator"],
      built: false
    }),
    nri_validator_reject_oci_hook_adjustment: option(boolean, {
      default: false,
      doc: "Refuse containers to which a plugin adds OCI hooks.",
      flags: ["nri-validator-reject-oci-hook-adjustment"],
      built: false
    }),
    nri_validator_reject_runtime_default_seccomp_adjustment: option(boolean, {
      default: false,
      doc: "Refuse containers whose RuntimeDefault seccomp profile a plugin changes.",
      flags: ["nri-validator-reject-runtime-default-seccomp-adjustment"],
      built: false
    }),
    nri_validator_reject_unconfined_seccomp_adjustment: option(boolean, {
      default: false,
      doc: "Refuse unconfined containers to which a plugin gives a seccomp profile.",
      flags: ["nri-validator-reject-unconfined-seccomp-adjustment"],
      built: false
    }),
    nri_validator_reject_custom_seccomp_adjustment: option(boolean, {
      default: false,
      doc: "Refuse containers whose Localhost seccomp profile a plugin changes.",
      flags: ["nri-validator-reject-custom-seccomp-adjustment"],
      built: false
    }),
    nri_validator_reject_namespace_adjustment: option(boolean, {
      default: false,
      doc: "Refuse containers whose namespaces a plugin changes.",
      flags: ["nri-validator-reject-namespace-adjustment"],
      built: false
    }),
    nri_validator_required_plugins: option(list(text, "strings"), {
      default: [],
      doc: "Plugins without which no container is created.",
      flags: ["nri-validator-required-plugins"],
      built: false
    }),
    nri_validator_tolerate_missing_plugins_annotation: option(text, {
      default: "",
      doc: "Pod annotation that waives the required plugins.",
      flags: ["nri-validator-tolerate-missing-plugins-annotation"],
      built: false
    })
  })
})
