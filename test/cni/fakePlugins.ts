/** A process table whose programs are CNI plugins that record what they are asked and answer from a script. */
import { Effect, Layer } from "effect"
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { posix } from "node:path"
import type { CniOptions } from "../../src/cni/Cni.ts"
import type { Attachment } from "../../src/cni/Attachment.ts"
import { Files } from "../../src/linux/Files.ts"
import { LinuxError } from "../../src/linux/LinuxError.ts"
import { Namespaces } from "../../src/linux/Namespaces.ts"
import { Processes, type RunRequest, type RunResult } from "../../src/linux/Processes.ts"

export interface Call {
  readonly command: string
  readonly plugin: string
  readonly env: Readonly<Record<string, string>>
  // eslint-disable-next-line typescript/no-explicit-any
  readonly stdin: any
}

export type Answer = Effect.Effect<Partial<RunResult> & { readonly print?: unknown }>

export interface World {
  readonly root: string
  readonly options: CniOptions
  readonly calls: Array<Call>
  /** "ADD bridge" and so on; VERSION left out. */
  readonly commands: () => ReadonlyArray<string>
  answer: (call: Call) => Answer | undefined
  /** "unknown": the host does not say. */
  pinned: boolean | "unknown"
  readonly configure: (name: string, content: unknown) => void
  readonly layer: Layer.Layer<Files | Processes | Namespaces>
}

const versions = { cniVersion: "1.0.0", supportedVersions: ["0.1.0", "0.3.1", "0.4.0", "1.0.0"] }

const resultOf = (call: Call) => ({
  cniVersion: call.stdin.cniVersion,
  interfaces: [
    { name: "veth0" },
    { name: call.env["CNI_IFNAME"], mac: "0a:00:00:00:00:01", sandbox: call.env["CNI_NETNS"] }
  ],
  ips: [{ address: "10.214.9.7/24", gateway: "10.214.9.1", interface: 1 }],
  routes: [{ dst: "0.0.0.0/0" }],
  dns: {},
  touchedBy: call.plugin
})

export const makeWorld = Effect.acquireRelease(
  Effect.sync((): World => {
    const root = mkdtempSync(posix.join(tmpdir(), "cni-unit-"))
    const bin = `${root}/bin`
    mkdirSync(bin)
    mkdirSync(`${root}/net.d`)
    for (const plugin of ["bridge", "portmap", "tuning"]) writeFileSync(`${bin}/${plugin}`, "", { mode: 0o755 })
    const calls: Array<Call> = []
    const encode = (value: unknown) =>
      new TextEncoder().encode(value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value))
    const run = (request: RunRequest) =>
      Effect.gen(function* () {
        const call: Call = {
          command: request.env["CNI_COMMAND"] ?? "",
          plugin: posix.basename(request.path),
          env: request.env,
          stdin: JSON.parse(new TextDecoder().decode(request.stdin))
        }
        calls.push(call)
        const scripted = world.answer(call)
        const { print, ...rest } =
          scripted === undefined
            ? { print: call.command === "VERSION" ? versions : call.command === "ADD" ? resultOf(call) : undefined }
            : yield* scripted
        return { code: 0, signal: null, stdout: encode(print), stderr: encode(""), ...rest }
      })
    const world: World = {
      root,
      options: {
        networkDirectory: `${root}/net.d`,
        defaultNetwork: "",
        statusGraceMs: 0,
        pluginDirectories: ["/nonexistent", `${bin}/`],
        environment: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
        cacheDirectory: `${root}/lib`,
        mapHostPorts: true
      },
      calls,
      commands: () => calls.filter((c) => c.command !== "VERSION").map((c) => `${c.command} ${c.plugin}`),
      answer: () => undefined,
      pinned: true,
      configure: (name, content) =>
        writeFileSync(`${root}/net.d/${name}`, typeof content === "string" ? content : JSON.stringify(content)),
      layer: Layer.mergeAll(
        Files.layer,
        Layer.mock(Processes, { run, list: Effect.succeed([]) }),
        Layer.mock(Namespaces, {
          isPinned: (path) =>
            Effect.suspend(() =>
              world.pinned === "unknown"
                ? Effect.fail(new LinuxError({ operation: "statfs", subject: path, code: "EIO" }))
                : Effect.succeed(world.pinned)
            )
        })
      )
    }
    return world
  }),
  ({ root }) => Effect.sync(() => rmSync(root, { recursive: true }))
)

export const podNetwork = {
  cniVersion: "1.0.0",
  name: "podnet",
  plugins: [
    { type: "bridge", bridge: "ckt-t0", ipam: { type: "host-local" } },
    { type: "portmap", capabilities: { portMappings: true, bandwidth: false }, snat: true }
  ]
}

export const attachment = (changes: Partial<Attachment> = {}): Attachment => ({
  podId: "f00dbabe",
  podName: "web",
  podNamespace: "shop",
  podUid: "0b6a-1",
  netnsPath: "/run/netns/f00d",
  interfaceName: "eth0",
  portMappings: [
    { hostPort: 28080, containerPort: 80, protocol: "tcp", hostIp: "" },
    { hostPort: 0, containerPort: 81, protocol: "tcp", hostIp: "" },
    { hostPort: 28053, containerPort: 53, protocol: "udp", hostIp: "127.0.0.9" }
  ],
  annotations: {},
  ...changes
})
