/** CNI plugins by the CNI protocol: bridge, host-local, portmap, loopback, with their leases, links and rules. */
import { Effect } from "effect"
import { createHash } from "node:crypto"
import { Errno } from "../Errno.ts"
import { NamespaceNode } from "../Node.ts"
import { ProgramFailure, type Program, type Task } from "../Program.ts"

interface PortMapping {
  readonly hostPort: number
  readonly containerPort: number
  readonly protocol?: string
  readonly hostIP?: string
}

interface NetworkConfig {
  readonly cniVersion?: string
  readonly name: string
  readonly type: string
  readonly bridge?: string
  readonly ipMasq?: boolean
  readonly isGateway?: boolean
  readonly ipam?: {
    readonly type?: string
    readonly subnet?: string
    readonly ranges?: ReadonlyArray<ReadonlyArray<{ subnet: string }>>
    readonly dataDir?: string
    readonly routes?: ReadonlyArray<object>
  }
  readonly runtimeConfig?: {
    readonly portMappings?: ReadonlyArray<PortMapping>
    readonly ipRanges?: ReadonlyArray<ReadonlyArray<{ subnet: string }>>
  }
  readonly prevResult?: Result
}

interface Result {
  readonly cniVersion?: string
  readonly interfaces?: ReadonlyArray<{ readonly name: string; readonly mac?: string; readonly sandbox?: string }>
  readonly ips?: ReadonlyArray<{ readonly address: string; readonly gateway?: string; readonly interface?: number }>
  readonly routes?: ReadonlyArray<object>
  readonly dns?: object
}

/** An error of the protocol: JSON on stdout, exit code 1. */
class CniError extends Errno {
  readonly number: number
  readonly text: string
  constructor(number: number, text: string) {
    super("EINVAL", text)
    this.number = number
    this.text = text
  }
}

interface Invocation {
  readonly task: Task
  readonly config: NetworkConfig
  readonly stdin: string
  readonly id: string
  readonly netns: string
  readonly ifName: string
}

type Verb = (call: Invocation) => Effect.Effect<Result | undefined, Errno>

const supported = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"]

const plugin =
  (verbs: { readonly add: Verb; readonly del: Verb; readonly check: Verb }): Program =>
  (task) => {
    let version = "1.0.0"
    const main = Effect.gen(function* () {
      const stdin = Buffer.from(yield* task.readAll(0)).toString()
      const commandName = task.env["CNI_COMMAND"] ?? ""
      if (commandName === "VERSION") {
        yield* task.write(1, JSON.stringify({ cniVersion: "1.0.0", supportedVersions: supported }))
        return 0
      }
      const config = yield* parse(stdin)
      version = config.cniVersion ?? version
      if (!supported.includes(version))
        return yield* Effect.fail(new CniError(1, `incompatible CNI versions; config is "${version}"`))
      const id = task.env["CNI_CONTAINERID"] ?? ""
      const ifName = task.env["CNI_IFNAME"] ?? ""
      const netns = task.env["CNI_NETNS"] ?? ""
      if (id === "" || ifName === "" || (netns === "" && commandName !== "DEL") || task.env["CNI_PATH"] === undefined) {
        return yield* Effect.fail(
          new CniError(4, "required env variables [CNI_CONTAINERID CNI_NETNS CNI_IFNAME CNI_PATH] missing")
        )
      }
      const call: Invocation = { task, config, stdin, id, netns, ifName }
      if (commandName === "ADD") {
        const result = yield* verbs.add(call)
        yield* task.write(1, JSON.stringify({ ...result, cniVersion: version }))
      } else if (commandName === "DEL") yield* verbs.del(call)
      else if (commandName === "CHECK") yield* verbs.check(call)
      else return yield* Effect.fail(new CniError(4, `unknown CNI_COMMAND: ${commandName}`))
      return 0
    })
    return Effect.catch(main, (error: Errno) => {
      const [code, msg] =
        error instanceof CniError
          ? [error.number, error.text]
          : error instanceof ProgramFailure
            ? [11, error.message]
            : [999, error.message]
      return Effect.as(Effect.ignore(task.write(1, JSON.stringify({ cniVersion: version, code, msg }))), 1)
    })
  }

const parse = (text: string): Effect.Effect<NetworkConfig, Errno> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(JSON.parse(text) as NetworkConfig)
    } catch {
      return Effect.fail(new CniError(6, "error parsing configuration"))
    }
  })

const netnsAt = (task: Task, path: string): NamespaceNode => {
  let node
  try {
    node = task.vfs.paths.find(path, { follow: true }).node
  } catch {
    node = undefined
  }
  if (!(node instanceof NamespaceNode) || node.namespaceKind !== "net") {
    throw new CniError(3, `failed to open netns "${path}": unknown FS magic or no such file`)
  }
  return node
}

const shortHash = (...words: ReadonlyArray<string>): string =>
  createHash("sha256").update(words.join("\0")).digest("hex").slice(0, 24)

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

const subnetsOf = (config: NetworkConfig): ReadonlyArray<string> => {
  const ranges = config.runtimeConfig?.ipRanges ?? config.ipam?.ranges
  if (ranges !== undefined) return ranges.flatMap((set) => set.slice(0, 1).map((range) => range.subnet))
  return config.ipam?.subnet === undefined ? [] : [config.ipam.subnet]
}

const ipv4 = (value: number): string => [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join(".")

/** Addresses of a subnet after its gateway, with prefix length; IPv6 only below /112. */
const addresses = function* (
  subnet: string
): Generator<{ readonly ip: string; readonly address: string; readonly gateway: string }> {
  const [base = "", bits = "24"] = subnet.split("/")
  if (base.includes(":")) {
    const prefix = base.replace(/::$/, "")
    for (let host = 2; host < 65_536; host++) {
      const ip = `${prefix}::${host.toString(16)}`
      yield { ip, address: `${ip}/${bits}`, gateway: `${prefix}::1` }
    }
    return
  }
  const number = base.split(".").reduce((sum, part) => (sum << 8) | Number(part), 0) >>> 0
  const size = 2 ** (32 - Number(bits))
  for (let host = 2; host < size - 1; host++) {
    const ip = ipv4(number + host)
    yield { ip, address: `${ip}/${bits}`, gateway: ipv4(number + 1) }
  }
}

const leaseDirectory = (config: NetworkConfig): string =>
  `${config.ipam?.dataDir ?? "/var/lib/cni/networks"}/${config.name}`

/**
 * The plugin's files are on disk at once. The real one leaves that to the kernel, and what a power loss makes of its
 * leases is beyond any runtime: an empty lease has no owner to be asked for.
 */
const writeThrough = (task: Task, path: string, text: string): void => {
  const file = task.vfs.open(path, "truncate")
  file.write(Buffer.from(text))
  file.sync()
}

const leases = (task: Task, directory: string): ReadonlyArray<{ readonly path: string; readonly owner: string }> =>
  task.vfs.exists(directory)
    ? task.vfs
        .list(directory)
        .filter((name) => /^[0-9a-f.:]+$/.test(name))
        .map((name) => ({ path: `${directory}/${name}`, owner: task.vfs.readText(`${directory}/${name}`) }))
    : []

export const hostLocal = plugin({
  add: (call) =>
    Effect.gen(function* () {
      const { task, config } = call
      const directory = leaseDirectory(config)
      const owner = `${call.id}\r\n${call.ifName}`
      yield* task.point("lock")
      yield* task.sync(() => {
        task.vfs.makeDirectories(directory)
        for (let at = directory; at !== ""; at = at.slice(0, at.lastIndexOf("/"))) task.vfs.directory(at).sync()
      })
      const ips: Array<{ address: string; gateway: string }> = []
      for (const [index, subnet] of subnetsOf(config).entries()) {
        const ip = yield* task.sync(() => {
          const taken = leases(task, directory)
          const duplicate = taken.find((lease) => lease.owner === owner)
          if (duplicate !== undefined && index === 0) {
            throw new CniError(
              999,
              `${duplicate.path.split("/").pop()} has been allocated to ${call.id}, duplicate allocation is not allowed`
            )
          }
          const last = `${directory}/last_reserved_ip.${index}`
          const free = nextFree(
            subnet,
            taken.map((lease) => lease.path),
            task.vfs.exists(last) ? task.vfs.readText(last) : ""
          )
          if (free === undefined) throw new CniError(999, `no IP addresses available in range set: ${subnet}`)
          writeThrough(task, `${directory}/${free.ip}`, owner)
          writeThrough(task, last, free.ip)
          task.vfs.directory(directory).sync()
          return free
        })
        ips.push({ address: ip.address, gateway: ip.gateway })
        yield* task.point("lease")
      }
      return { ips, routes: config.ipam?.routes ?? [], dns: {} }
    }),
  del: (call) =>
    Effect.gen(function* () {
      const { task } = call
      yield* task.point("release")
      yield* task.sync(() => {
        for (const { path, owner } of leases(task, leaseDirectory(call.config))) {
          if (owner === `${call.id}\r\n${call.ifName}`) task.vfs.removeFile(path)
        }
        if (task.vfs.exists(leaseDirectory(call.config))) task.vfs.directory(leaseDirectory(call.config)).sync()
      })
      return undefined
    }),
  check: (call) =>
    call.task.sync(() => {
      const owner = `${call.id}\r\n${call.ifName}`
      if (!leases(call.task, leaseDirectory(call.config)).some((lease) => lease.owner === owner)) {
        throw new CniError(999, `host-local: Failed to find address added by container ${call.id}`)
      }
      return undefined
    })
})

/** Round robin as host-local does it: the first free address after the last one given. */
const nextFree = (subnet: string, taken: ReadonlyArray<string>, last: string) => {
  const used = new Set(taken.map((path) => path.split("/").pop()))
  let first: { readonly ip: string; readonly address: string; readonly gateway: string } | undefined
  let passed = last === ""
  for (const candidate of addresses(subnet)) {
    if (!used.has(candidate.ip)) {
      if (passed) return candidate
      first ??= candidate
    }
    if (candidate.ip === last) passed = true
  }
  return first
}

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
