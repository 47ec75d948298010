/**
 * Debian's plugins at work in a network namespace that plays the host: its links, rules and sysctls can be compared
 * whole, and nothing of the machine's own network is touched.
 */
import { Effect, Layer } from "effect"
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import type { Attachment } from "../../../src/cni/Attachment.ts"
import type { CniOptions } from "../../../src/cni/Cni.ts"
import { Files } from "../../../src/linux/Files.ts"
import { Namespaces } from "../../../src/linux/Namespaces.ts"
import { Processes } from "../../../src/linux/Processes.ts"

export const pluginDirectory = "/usr/lib/cni"
export const bridge = "ckt-t0"
const environment = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" }

export interface HostNetns {
  readonly root: string
  readonly options: CniOptions
  /** Runs a command in a namespace ("host" or a pod's name) and gives its output. */
  readonly inside: (where: string, ...command: ReadonlyArray<string>) => string
  readonly pin: (name: string) => Effect.Effect<string>
  readonly unpin: (name: string) => Effect.Effect<void>
  readonly attachment: (name: string, changes?: Partial<Attachment>) => Attachment
  readonly configure: (content: object) => void
  /** Links, rules, leases and records; what plugins keep for good (the bridge, empty chains) is part of it. */
  readonly state: () => { readonly [part: string]: ReadonlyArray<string> }
}

export const seam = Layer.mergeAll(Files.layer, Processes.layer, Namespaces.layer)

export const bridgeNetwork = (root: string, changes: object, ...chained: ReadonlyArray<object>) => ({
  cniVersion: "1.0.0",
  name: "ckt-net",
  plugins: [
    {
      type: "bridge",
      bridge,
      isGateway: true,
      ipMasq: true,
      hairpinMode: true,
      ...changes,
      ipam: {
        type: "host-local",
        dataDir: `${root}/leases`,
        ranges: [[{ subnet: "10.214.77.0/24" }], [{ subnet: "fd00:214:77::/64" }]],
        routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }]
      }
    },
    ...chained
  ]
})

export const portmap = { type: "portmap", capabilities: { portMappings: true }, snat: true }

export const makeHostNetns = Effect.acquireRelease(
  Effect.gen(function* () {
    const namespaces = yield* Namespaces
    const root = mkdtempSync("/tmp/cni-real-")
    for (const directory of ["bin", "net.d", "ns"]) mkdirSync(`${root}/${directory}`)
    const path = (name: string) => `${root}/ns/${name}`
    const pin = Effect.fnUntraced(function* (name: string) {
      writeFileSync(path(name), "")
      yield* Effect.orDie(namespaces.pin({ namespaces: [{ kind: "net", path: path(name) }], sysctls: [] }))
      return path(name)
    })
    yield* pin("host")
    for (const plugin of readdirSync(pluginDirectory)) {
      const enter = `exec nsenter --net=${path("host")} ${pluginDirectory}/${plugin}`
      writeFileSync(`${root}/bin/${plugin}`, `#!/bin/sh\n${enter}\n`, { mode: 0o755 })
    }
    const inside = (where: string, ...command: ReadonlyArray<string>) =>
      execFileSync("nsenter", [`--net=${path(where)}`, ...command], {
        encoding: "utf8",
        stdio: "pipe",
        env: environment
      })
    const lines = (...command: ReadonlyArray<string>) =>
      inside("host", ...command)
        .split("\n")
        .filter((line) => line !== "" && !line.startsWith("#"))
    const names = (directory: string) => (existsSync(directory) ? readdirSync(directory) : [])
    const host: HostNetns = {
      root,
      options: {
        networkDirectory: `${root}/net.d`,
        defaultNetwork: "",
        statusGraceMs: 0,
        pluginDirectories: [`${root}/bin`],
        environment,
        cacheDirectory: `${root}/lib`,
        mapHostPorts: true
      },
      inside,
      pin,
      unpin: (name) => Effect.orDie(namespaces.unpin(path(name))),
      attachment: (name, changes = {}) => ({
        podId: `${name}0123456789abcdef`,
        podName: name,
        podNamespace: "default",
        podUid: `uid-${name}`,
        netnsPath: path(name),
        interfaceName: "eth0",
        portMappings: [],
        annotations: {},
        ...changes
      }),
      configure: (content) => writeFileSync(`${root}/net.d/10-ckt.conflist`, JSON.stringify(content)),
      state: () => ({
        // Not the index and the state of the bridge, which follow its ports.
        links: lines("ip", "-o", "link").map((line) => /^\d+: ([^:@]+)/.exec(line)?.[1] ?? line),
        rules: [...lines("iptables-save"), ...lines("ip6tables-save")].map((line) => line.replace(/\[\d+:\d+\]/, "")),
        leases: names(`${root}/leases/ckt-net`).filter((name) => !/^(lock|last_reserved_ip\..*)$/.test(name)),
        records: names(`${root}/lib/results`)
      })
    }
    return host
  }),
  ({ root, unpin }) =>
    Effect.gen(function* () {
      for (const name of readdirSync(`${root}/ns`)) yield* unpin(name)
      yield* Effect.sync(() => rmSync(root, { recursive: true }))
    })
)
