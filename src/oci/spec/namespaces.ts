/** Which namespaces a container joins, makes or shares (config-linux.md "Namespaces"). */
import type { Namespace, NamespaceType } from "../../model/RuntimeSpec.ts"
import type { NamespaceChoice, NamespaceChoices } from "./input.ts"

const entry = (type: NamespaceType, choice: NamespaceChoice): ReadonlyArray<Namespace> =>
  choice === "host" ? [] : choice === "private" ? [{ type }] : [{ type, path: choice.path }]

/** Mount namespaces are never shared. On cgroup v2 a container sees its own cgroup as the root of the tree. */
export const namespaces = (choices: NamespaceChoices, cgroupVersion: 1 | 2): ReadonlyArray<Namespace> => [
  ...entry("pid", choices.pid),
  ...entry("network", choices.network),
  ...entry("ipc", choices.ipc),
  ...entry("uts", choices.uts),
  { type: "mount" },
  ...(cgroupVersion === 2 ? [{ type: "cgroup" as const }] : [])
]
