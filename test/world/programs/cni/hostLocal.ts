/** host-local: addresses of a node, leased in files. */
import { Effect } from "effect"
import type { Task } from "../../Program.ts"
import { CniError, plugin, type NetworkConfig } from "./protocol.ts"

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
