/** portmap: ports of the host as rules; loopback: brings lo up. */
import { Effect } from "effect"
import { CniError, netnsAt, plugin, shortHash } from "./protocol.ts"

export const portmap = plugin({
  add: (call) =>
    Effect.gen(function* () {
      const { task, config } = call
      if (config.prevResult === undefined)
        return yield* Effect.fail(new CniError(7, "must be called as chained plugin"))
      const mappings = config.runtimeConfig?.portMappings ?? []
      if (mappings.length === 0) return config.prevResult
      const chain = `CNI-DN-${shortHash(config.name, call.id)}`
      yield* task.point("chain")
      task.world.rules.add(`nat CNI-HOSTPORT-DNAT -j ${chain}`)
      for (const mapping of mappings) {
        yield* task.point("rule")
        const target = config.prevResult.ips?.[0]?.address.split("/")[0]
        task.world.rules.add(
          `nat ${chain} -p ${mapping.protocol ?? "tcp"} --dport ${mapping.hostPort} -j DNAT --to ${target}:${mapping.containerPort}`
        )
      }
      return config.prevResult
    }),
  del: (call) =>
    Effect.gen(function* () {
      const { task, config } = call
      const mappings = config.runtimeConfig?.portMappings ?? []
      if (mappings.length === 0) return undefined
      yield* task.point("del")
      const chain = `CNI-DN-${shortHash(config.name, call.id)}`
      for (const rule of task.world.rules) if (rule.includes(chain)) task.world.rules.delete(rule)
      return undefined
    }),
  check: () => Effect.succeed(undefined)
})

export const loopback = plugin({
  add: (call) =>
    call.task.sync(() => {
      const netns = netnsAt(call.task, call.netns)
      const link = call.task.world.namespaces.link(netns, "lo")
      if (link !== undefined) link.up = true
      return (
        call.config.prevResult ?? {
          interfaces: [{ name: "lo", mac: "00:00:00:00:00:00", sandbox: call.netns }],
          ips: []
        }
      )
    }),
  del: () => Effect.succeed(undefined),
  check: () => Effect.succeed(undefined)
})
