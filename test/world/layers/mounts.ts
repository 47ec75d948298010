/** Mounts and Namespaces over a world. */
import { Effect, Layer } from "effect"
import { Mounts } from "../../../src/linux/Mounts.ts"
import { Namespaces, type PinnedKind, type PinRequest } from "../../../src/linux/Namespaces.ts"
import { isRange } from "../../../src/linux/IdMapping.ts"
import { Errno } from "../Errno.ts"
import { NamespaceNode } from "../Node.ts"
import { attempt } from "../Program.ts"
import { refused, type Seam } from "./Seam.ts"

export const mountsLayer = (seam: Seam): Layer.Layer<Mounts> => {
  const { world } = seam
  const mappingsOf = (userNamespace: string) => {
    const mappings = world.namespaces.mappings.get(
      world.vfs.paths.find(userNamespace, { follow: true }).node as NamespaceNode
    )
    if (mappings === undefined) throw new Errno("EINVAL")
    return mappings
  }
  return Layer.succeed(Mounts, {
    mount: (request) =>
      seam.sync("Mounts", "mount", `${request.type === "" ? request.source : request.type} ${request.target}`, () =>
        world.vfs.table.mount(request)
      ),
    mountOverlay: (request) =>
      seam.sync("Mounts", "mountOverlay", request.target, () => world.vfs.table.mountOverlay(request)),
    bindMapped: ({ source, target, userNamespace }) =>
      seam.sync("Mounts", "bindMapped", `${target} from ${source}`, () =>
        world.vfs.table.bindMapped(source, target, mappingsOf(userNamespace))
      ),
    canMap: ({ source, userNamespace }) =>
      seam.sync("Mounts", "canMap", source, () => {
        mappingsOf(userNamespace)
        return world.vfs.table.canMap(source)
      }),
    unmount: (target, options) =>
      seam.sync("Mounts", "unmount", target, () => {
        world.vfs.table.unmount(target, options?.detach === true)
        world.collectNamespaces()
      }),
    list: (below) =>
      seam.sync("Mounts", "list", below ?? "/", () => {
        const prefix = below === undefined || below === "/" ? "/" : `${below.replace(/\/+$/, "")}/`
        return world.vfs.table
          .entries()
          .filter((mount) => mount.target === below || mount.target.startsWith(prefix) || prefix === "/")
      })
  })
}

/** What there is below /proc/sys of a namespace. */
const knownSysctls = [
  /^net\/(ipv4|ipv6)\/(conf|neigh)\/[^/]+\/[a-z_]+$/,
  /^net\/ipv4\/(ip_|tcp_|icmp_|ping_)(?!no_)[a-z_0-9]+$/,
  /^net\/(core|netfilter|unix)\/[a-z_]+$/,
  /^(kernel|fs)\//
]

/** Which namespace a key belongs to, as the real layer sorts them. */
const namespaceOfSysctl = (path: string): PinnedKind | undefined => {
  if (path.split("/").some((name) => name === "" || name === "." || name === "..")) return undefined
  if (/^net\/./.test(path)) return "net"
  if (/^(kernel\/(shm[^/]*|msg[^/]*|sem|sem_next_id|auto_msgmni)|fs\/mqueue\/[^/]+)$/.test(path)) return "ipc"
  return /^kernel\/(hostname|domainname)$/.test(path) ? "uts" : undefined
}

export const namespacesLayer = (seam: Seam): Layer.Layer<Namespaces> => {
  const { world } = seam

  const bind = (node: NamespaceNode, path: string) => {
    const target = world.vfs.paths.find(path, { follow: true })
    world.vfs.table.bind({ mount: target.mount, node, name: "", up: undefined }, target, false)
  }

  const unbind = (path: string) => {
    world.vfs.table.unmount(path, true)
    world.collectNamespaces()
  }

  const check = (request: PinRequest) => {
    const kinds = new Set(request.namespaces.map((one) => one.kind))
    for (const { path } of request.sysctls) {
      const kind = namespaceOfSysctl(path)
      if (kind === undefined || !kinds.has(kind)) throw new Errno("EINVAL")
      if (!knownSysctls.some((known) => known.test(path))) throw new Errno("ENOENT")
    }
    if (request.hostname !== undefined && !kinds.has("uts")) throw new Errno("EINVAL")
    const { mappings } = request
    if (kinds.has("user") !== (mappings !== undefined)) throw new Errno("EINVAL")
    if (mappings !== undefined && ![...mappings.uids, ...mappings.gids].every(isRange)) throw new Errno("EINVAL")
  }

  const make = (request: PinRequest): ReadonlyArray<{ readonly node: NamespaceNode; readonly path: string }> => {
    check(request)
    const made = request.namespaces.map(({ kind, path }) => ({ kind, path, node: world.namespaces.make(kind) }))
    for (const { node } of made) world.namespaces.entered.set(node, seam.life)
    for (const { kind, node } of made) {
      const loopback = world.namespaces.link(node, "lo")
      if (loopback !== undefined) loopback.up = true
      if (kind === "user" && request.mappings !== undefined) world.namespaces.mappings.set(node, request.mappings)
      if (kind === "uts") world.namespaces.hostnames.set(node, request.hostname ?? "node")
    }
    for (const { path, value } of request.sysctls) {
      const owner = made.find((one) => one.kind === namespaceOfSysctl(path))
      if (owner !== undefined) world.sysctlsOf(owner.node).set(path, value)
    }
    return made
  }

  const pin = Effect.fnUntraced(function* (request: PinRequest) {
    const subject = request.namespaces.map((one) => one.path).join(" ")
    const made = yield* refused(
      "pin",
      subject,
      attempt(() => make(request))
    )
    // The thread that made them is in them until the last one is bound.
    const letGo = Effect.sync(() => {
      for (const { node } of made) world.namespaces.entered.delete(node)
    })
    const bound: Array<string> = []
    const bindAll = (part: typeof made) =>
      refused(
        "pin",
        subject,
        attempt(() => {
          for (const { node, path } of part) {
            bind(node, path)
            bound.push(path)
          }
        })
      )
    yield* Effect.gen(function* () {
      yield* bindAll(made.slice(0, 1))
      // One synchronous block in the real layer: nothing can interrupt it, but the daemon can be killed in it.
      if (made.length > 1) yield* seam.midpoint("Namespaces", "pin", subject)
      yield* bindAll(made.slice(1))
    }).pipe(
      Effect.onExit(() => letGo),
      Effect.onError(() =>
        seam.finalizer(() => {
          bound.forEach(unbind)
          world.collectNamespaces()
        })
      )
    )
  }, Effect.uninterruptible)

  return Layer.succeed(Namespaces, {
    pin: (request) =>
      seam.effect("Namespaces", "pin", request.namespaces.map((one) => one.path).join(" "), pin(request)),
    unpin: (path) =>
      seam.sync("Namespaces", "unpin", path, () => {
        if (!world.vfs.exists(path)) return
        if (world.vfs.paths.find(path, { follow: false }).node instanceof NamespaceNode) unbind(path)
        world.vfs.removeFile(path)
      }),
    isPinned: (path) =>
      seam.sync(
        "Namespaces",
        "isPinned",
        path,
        () => world.vfs.exists(path) && world.vfs.paths.find(path, { follow: false }).node instanceof NamespaceNode
      ),
    networkCounters: (path) =>
      seam.sync("Namespaces", "networkCounters", path, () => {
        const { node } = world.vfs.paths.find(path, { follow: false })
        const links = node instanceof NamespaceNode ? world.namespaces.links.get(node) : undefined
        if (links === undefined) throw new Errno("EINVAL")
        // Nothing is sent in this world.
        const none = { bytes: 0n, packets: 0n, errors: 0n, dropped: 0n }
        return [...links.keys()].map((name) => ({ name, received: none, transmitted: none }))
      })
  })
}
