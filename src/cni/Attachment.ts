/** What the pod asks of its network, in the CRI's words. */

export interface PortMapping {
  /** 0: the port is not published on the host. */
  readonly hostPort: number
  readonly containerPort: number
  readonly protocol: "tcp" | "udp" | "sctp"
  /** "" for every address of the host. */
  readonly hostIp: string
}

/** One range of addresses for the IPAM plugin (capability "ipRanges"), from the node's pod CIDR. */
export interface IpRange {
  readonly subnet: string
  readonly rangeStart?: string
  readonly rangeEnd?: string
  readonly gateway?: string
}

/** One interface of one pod: the same value names it at ADD and, after any number of restarts, at DEL. */
export interface Attachment {
  readonly podId: string
  readonly podName: string
  readonly podNamespace: string
  readonly podUid: string
  /** A pinned network namespace. When it is gone, DEL goes on without it. */
  readonly netnsPath: string
  /** Name of the interface inside the pod, normally "eth0". */
  readonly interfaceName: string
  readonly portMappings: ReadonlyArray<PortMapping>
  /** kubernetes.io/ingress-bandwidth and egress-bandwidth become the capability "bandwidth". */
  readonly annotations: Readonly<Record<string, string>>
  /** Outer list: one address from each of these sets. */
  readonly ipRanges?: ReadonlyArray<ReadonlyArray<IpRange>>
  /** Capability "dns", for plugins that set it up (Windows-style plugins, dnsname). */
  readonly dns?: {
    readonly servers: ReadonlyArray<string>
    readonly searches: ReadonlyArray<string>
    readonly options: ReadonlyArray<string>
  }
}
