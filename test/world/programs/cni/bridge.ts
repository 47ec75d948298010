/** bridge: a veth between the pod and a bridge of the host, addresses by delegation, masquerading. */
import { Effect } from "effect"
import type { Task } from "../../Program.ts"
import { CniError, netnsAt, parse, plugin, shortHash, type Invocation, type Result } from "./protocol.ts"

const delegate = (call: Invocation) =>
  Effect.gen(function* () {
    const type = call.config.ipam?.type ?? ""
    const path = (call.task.env["CNI_PATH"] ?? "").split(":").map((directory) => `${directory}/${type}`)
    const found = path.find((candidate) => call.task.vfs.exists(candidate))
    if (found === undefined) {
      return yield* Effect.fail(new CniError(7, `failed to find plugin "${type}" in path ${call.task.env["CNI_PATH"]}`))
    }
    const done = yield* call.task.run(found, [], { stdin: call.stdin })
    if (done.code !== 0) {
      const said = yield* Effect.option(parse(done.stdout))
      const text = said._tag === "Some" ? (said.value as { msg?: string }).msg : undefined
      return yield* Effect.fail(new CniError(11, text ?? `netplugin failed: ${done.stderr}`))
    }
    return done.stdout === "" ? undefined : (JSON.parse(done.stdout) as Result)
  })

const hostNet = (task: Task) => task.world.hostNamespace("net")

export const bridge = plugin({
  add: (call) =>
    Effect.gen(function* () {
      const { task, config, ifName } = call
      const { world } = task
      const bridgeName = config.bridge ?? "cni0"
      yield* task.point("bridge")
      const link = yield* task.sync(() => {
        const known = world.namespaces.link(hostNet(task), bridgeName)
        const made = known ?? world.namespaces.addLink(hostNet(task), bridgeName, "bridge")
        made.up = true
        return made
      })
      const netns = yield* task.sync(() => netnsAt(task, call.netns))
      const pair = yield* task.sync(() => {
        if (world.namespaces.link(netns, ifName) !== undefined) {
          throw new CniError(999, `container veth name provided (${ifName}) already exists`)
        }
        const host = `veth${shortHash(call.id, ifName, String(world.engine.nowUs)).slice(0, 8)}`
        const made = world.namespaces.addPair(
          { namespace: netns, name: ifName },
          { namespace: hostNet(task), name: host }
        )
        made[1].master = link.name
        return made
      })
      yield* task.point("veth")
      const ipam = config.ipam?.type === undefined ? undefined : yield* delegate(call)
      const ips = ipam?.ips ?? []
      // From here on the real plugin gives the address back when it fails.
      yield* Effect.gen(function* () {
        yield* task.point("address")
        yield* task.sync(() => {
          if (!world.namespaces.links.has(netns)) throw new CniError(999, "Link not found")
          for (const each of pair) each.up = true
          pair[0].addresses.push(...ips.map((ip) => ip.address))
          if (config.isGateway === true) {
            for (const { gateway } of ips)
              if (gateway !== undefined && !link.addresses.includes(gateway)) link.addresses.push(gateway)
            world.hostSysctl("net").set("net/ipv4/ip_forward", "1")
          }
          if (config.ipMasq === true) {
            const chain = `CNI-${shortHash(config.name, call.id)}`
            for (const ip of ips) {
              world.rules.add(`nat POSTROUTING -s ${ip.address.split("/")[0]} -j ${chain}`)
              world.rules.add(`nat ${chain} -j MASQUERADE`)
            }
          }
        })
        yield* task.point("masquerade")
      }).pipe(
        Effect.tapError(() =>
          ipam === undefined
            ? Effect.void
            : Effect.ignore(
                task.run(ipamPath(call), [], { stdin: call.stdin, env: { ...task.env, CNI_COMMAND: "DEL" } })
              )
        )
      )
      return {
        interfaces: [
          { name: link.name, mac: link.mac },
          { name: pair[1].name, mac: pair[1].mac },
          { name: ifName, mac: pair[0].mac, sandbox: call.netns }
        ],
        ips: ips.map((ip) => ({ ...ip, interface: 2 })),
        routes: ipam?.routes ?? [],
        dns: {}
      }
    }),
  del: (call) =>
    Effect.gen(function* () {
      const { task, config } = call
      const { world } = task
      yield* task.point("del")
      if (config.ipam?.type !== undefined) yield* delegate(call)
      if (call.netns === "") return undefined
      yield* task.point("del link")
      const netns = yield* Effect.option(task.sync(() => netnsAt(task, call.netns)))
      // As the real plugin: without the namespace it returns here, and its rules stay.
      if (netns._tag === "None") return undefined
      const link = world.namespaces.link(netns.value, call.ifName)
      if (link !== undefined) world.namespaces.removeLink(link)
      if (config.ipMasq === true) {
        const chain = `CNI-${shortHash(config.name, call.id)}`
        yield* task.point("del masquerade")
        yield* task.sync(() => {
          for (const rule of world.rules) if (rule.includes(chain)) world.rules.delete(rule)
        })
      }
      return undefined
    }),
  check: (call) =>
    call.task.sync(() => {
      const netns = netnsAt(call.task, call.netns)
      const link = call.task.world.namespaces.link(netns, call.ifName)
      if (link === undefined) throw new CniError(999, `Link ${call.ifName} not found`)
      for (const ip of call.config.prevResult?.ips ?? []) {
        if (!link.addresses.includes(ip.address))
          throw new CniError(999, `address ${ip.address} not found on ${call.ifName}`)
      }
      return undefined
    })
})

const ipamPath = (call: Invocation): string => {
  const type = call.config.ipam?.type ?? ""
  const path = (call.task.env["CNI_PATH"] ?? "").split(":").map((directory) => `${directory}/${type}`)
  return path.find((candidate) => call.task.vfs.exists(candidate)) ?? `/opt/cni/bin/${type}`
}
