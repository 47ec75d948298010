/**
 * Host ports in networks whose configuration forwards none: the portmap plugin is run after the configured ones, so that
 * a configuration made for CRI-O, which writes the rules itself, needs nothing added.
 */
import { Effect } from "effect"
import type { CniError } from "../CniError.ts"
import type { Plugins } from "../Plugins.ts"
import type { ChainRequest } from "./chain.ts"
import type { PluginConfig } from "./configuration.ts"

const capability = "portMappings"
const type = "portmap"

/** snat: the pod answers to 127.0.0.1 and to its own node through the address of its gateway. */
const portmap: PluginConfig = {
  type,
  capabilities: [capability],
  raw: { type, capabilities: { [capability]: true }, snat: true }
}

/** True when the pod has host ports and none of the network's plugins takes them. */
export const lacksPortmap = ({ network, capabilityArgs }: ChainRequest): boolean =>
  capability in capabilityArgs && !network.plugins.some(({ capabilities }) => capabilities.includes(capability))

/** Results have had one form since 1.0.0: a portmap that knows no more can follow plugins of 1.1.0. */
const versionFor = (network: string, spoken: ReadonlyArray<string>): string | undefined =>
  [network, ...(network === "1.1.0" ? ["1.0.0"] : [])].find((version) => spoken.includes(version))

/** The request with portmap as its network's last plugin; undefined when the installed one does not speak its version. */
export const withPortmap = Effect.fnUntraced(function* (
  plugins: Plugins["Service"],
  request: ChainRequest
): Effect.fn.Return<ChainRequest | undefined, CniError> {
  const { network } = request
  const version = versionFor(network.version, yield* plugins.versions(type))
  if (version === undefined) return undefined
  return { ...request, network: { ...network, plugins: [...network.plugins, { ...portmap, version }] } }
})
