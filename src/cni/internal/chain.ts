/** One CNI command over the plugins of a network (specification, section 3: runtime procedures). */
import { Effect, Option, Schema } from "effect"
import { CniError } from "../CniError.ts"
import type { CniCommand, Invocation, Plugins } from "../Plugins.ts"
import type { Json, Network, PluginConfig } from "./configuration.ts"
import type { RuntimeArguments } from "./runtimeArguments.ts"
import { isAtLeast } from "./version.ts"

/** Everything that is the same for all plugins of the chain. */
export interface ChainRequest extends RuntimeArguments {
  readonly network: Network
  readonly containerId: string
  readonly netns: string
  readonly interfaceName: string
}

const decodeObject = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown)))

const invocationOf = (
  command: CniCommand,
  request: ChainRequest,
  plugin: PluginConfig,
  previous: Json | undefined
): Invocation => {
  const { network, capabilityArgs } = request
  const cniVersion = plugin.version ?? network.version
  const runtimeConfig = Object.fromEntries(
    plugin.capabilities.flatMap((name) => (name in capabilityArgs ? [[name, capabilityArgs[name]]] : []))
  )
  return {
    command,
    plugin: plugin.type,
    network: network.name,
    containerId: request.containerId,
    netns: request.netns,
    interfaceName: request.interfaceName,
    args: request.cniArgs.map(([key, value]) => `${key}=${value}`).join(";"),
    config: {
      ...plugin.raw,
      name: network.name,
      cniVersion,
      ...(previous !== undefined && { prevResult: { ...previous, cniVersion } }),
      ...(Object.keys(runtimeConfig).length > 0 && { runtimeConfig })
    }
  }
}

/**
 * ADD, first plugin to last, each with its predecessor's result. `progress` sees every result as it comes, so that a
 * clean-up after a failure knows what had been given.
 */
export const addChain = Effect.fnUntraced(function* (
  plugins: Plugins["Service"],
  request: ChainRequest,
  progress: (result: Json) => void
) {
  let previous: Json | undefined
  for (const plugin of request.network.plugins) {
    const invocation = invocationOf("ADD", request, plugin, previous)
    const printed = yield* plugins.execute(invocation)
    const result = decodeObject(printed)
    if (Option.isNone(result)) {
      return yield* CniError.make({
        kind: "Plugin",
        operation: "ADD",
        podId: request.containerId,
        network: request.network.name,
        plugin: plugin.type,
        reason: `printed no result but ${JSON.stringify(printed.slice(0, 200))}`
      })
    }
    previous = { cniVersion: request.network.version, ...result.value }
    progress(previous)
  }
  return previous ?? {}
})

/**
 * DEL, last plugin to first. Every plugin gets its turn whatever the others say, so that one broken plugin does not
 * keep the address of another; the first failure is reported, with the others beside it.
 */
export const delChain = Effect.fnUntraced(function* (
  plugins: Plugins["Service"],
  request: ChainRequest,
  previous: Json | undefined
) {
  // Results are part of DEL since 0.4.0; older plugins may stumble over one.
  const known = isAtLeast(request.network.version, "0.4.0") ? previous : undefined
  const failures: Array<CniError> = []
  for (const plugin of request.network.plugins.toReversed()) {
    yield* plugins
      .execute(invocationOf("DEL", request, plugin, known))
      .pipe(Effect.catch((error) => Effect.sync(() => failures.push(error))))
  }
  const [first, ...others] = failures
  if (first === undefined) return
  const beside = others.map((error) => `; plugin ${JSON.stringify(error.plugin)}: ${error.reason}`).join("")
  return yield* CniError.make({ ...first, reason: `${first.reason}${beside}`, cause: first })
})

/** CHECK, first plugin to last, each with the final result of ADD. */
export const checkChain = Effect.fnUntraced(function* (
  plugins: Plugins["Service"],
  request: ChainRequest,
  previous: Json
) {
  for (const plugin of request.network.plugins) {
    yield* plugins.execute(invocationOf("CHECK", request, plugin, previous))
  }
})

const ofNoContainer = { containerId: "", netns: "", interfaceName: "", cniArgs: [], capabilityArgs: {} }

/** STATUS (1.1.0): fails with what the first plugin that cannot take an ADD says. */
export const statusChain = Effect.fnUntraced(function* (plugins: Plugins["Service"], network: Network) {
  for (const plugin of network.plugins) {
    yield* plugins.execute(invocationOf("STATUS", { network, ...ofNoContainer }, plugin, undefined))
  }
})

/** GC (1.1.0): plugins give back what belongs to none of the attachments. */
export const gcChain = Effect.fnUntraced(function* (
  plugins: Plugins["Service"],
  network: Network,
  valid: ReadonlyArray<{ readonly podId: string; readonly interfaceName: string }>
) {
  const attachments = valid.map(({ podId, interfaceName }) => ({ containerID: podId, ifname: interfaceName }))
  for (const plugin of network.plugins) {
    const invocation = invocationOf("GC", { network, ...ofNoContainer }, plugin, undefined)
    yield* plugins.execute({
      ...invocation,
      config: { ...invocation.config, "cni.dev/valid-attachments": attachments }
    })
  }
})
