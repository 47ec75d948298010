/** Namespaces of the simulated kernel, and what lives in network namespaces: links and addresses. */
import type { IdMappings } from "../../src/linux/IdMapping.ts"
import { Errno } from "./Errno.ts"
import { NamespaceNode, type FileSystem } from "./Node.ts"

export const namespaceKinds = ["net", "ipc", "uts", "pid", "mnt", "user", "cgroup"] as const
export type NamespaceKind = (typeof namespaceKinds)[number]

export interface Link {
  readonly name: string
  readonly kind: "loopback" | "bridge" | "veth" | "ether"
  readonly namespace: NamespaceNode
  mac: string
  up: boolean
  /** "10.88.0.2/16" */
  readonly addresses: Array<string>
  master: string | undefined
  peer: Link | undefined
}

export class NamespaceTable {
  readonly host = new Map<NamespaceKind, NamespaceNode>()
  /** Every namespace that lives, the host's too. */
  readonly alive = new Set<NamespaceNode>()
  readonly links = new Map<NamespaceNode, Map<string, Link>>()
  /** Host names and sysctls by namespace. */
  readonly hostnames = new Map<NamespaceNode, string>()
  readonly sysctls = new Map<NamespaceNode, Map<string, string>>()
  /** Of user namespaces. */
  readonly mappings = new Map<NamespaceNode, IdMappings>()
  /** Those that a thread of the daemon is in while it makes and binds them. */
  readonly entered = new Map<NamespaceNode, { readonly dead: () => boolean }>()
  private readonly fs: FileSystem
  private macs = 0

  constructor(fs: FileSystem) {
    this.fs = fs
    for (const kind of namespaceKinds) this.host.set(kind, this.make(kind))
    const net = this.host.get("net") as NamespaceNode
    this.addLink(net, "eth0", "ether").addresses.push("192.0.2.10/24")
    this.hostnames.set(this.host.get("uts") as NamespaceNode, "node")
  }

  make(kind: NamespaceKind): NamespaceNode {
    const node = new NamespaceNode(this.fs, kind)
    this.alive.add(node)
    if (kind === "net") {
      this.links.set(node, new Map())
      this.addLink(node, "lo", "loopback").addresses.push("127.0.0.1/8")
    }
    return node
  }

  addLink(namespace: NamespaceNode, name: string, kind: Link["kind"]): Link {
    const links = this.links.get(namespace)
    if (links === undefined) throw new Errno("ENOENT")
    if (links.has(name)) throw new Errno("EEXIST")
    const mac = `02:00:00:00:${hex(this.macs >> 8)}:${hex(this.macs & 255)}`
    this.macs++
    const link: Link = { name, kind, namespace, mac, up: false, addresses: [], master: undefined, peer: undefined }
    links.set(name, link)
    return link
  }

  addPair(
    a: { namespace: NamespaceNode; name: string },
    b: { namespace: NamespaceNode; name: string }
  ): readonly [Link, Link] {
    const first = this.addLink(a.namespace, a.name, "veth")
    const second = this.addLink(b.namespace, b.name, "veth")
    first.peer = second
    second.peer = first
    return [first, second]
  }

  link(namespace: NamespaceNode, name: string): Link | undefined {
    return this.links.get(namespace)?.get(name)
  }

  removeLink(link: Link): void {
    this.links.get(link.namespace)?.delete(link.name)
    const { peer } = link
    link.peer = undefined
    if (peer !== undefined) {
      peer.peer = undefined
      this.removeLink(peer)
    }
  }

  /** Ends every namespace that nobody uses: a veth's other end goes with it. */
  collect(used: ReadonlySet<NamespaceNode>): void {
    const host = new Set(this.host.values())
    for (const node of this.alive) {
      if (host.has(node) || used.has(node)) continue
      this.alive.delete(node)
      for (const link of this.links.get(node)?.values() ?? []) this.removeLink(link)
      this.links.delete(node)
      this.hostnames.delete(node)
      this.sysctls.delete(node)
      this.mappings.delete(node)
    }
  }
}

const hex = (value: number): string => value.toString(16).padStart(2, "0")
