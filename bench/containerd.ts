/** Debian's containerd as a contestant, with its CRI plugin, the same runtime, network and file systems. */
import { execFileSync } from "node:child_process"
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { containerdConfiguration } from "../scripts/lib/containerd.ts"
import { preparePlace } from "../scripts/lib/daemon.ts"
import { type Contestant, pauseCommand, pauseImage } from "./Contestant.ts"
import { countStats, criPod, makeDaemon } from "./criPod.ts"
import { processesWith } from "./processes.ts"

export interface ContainerdOptions {
  /** Of its own; `run` in it is on tmpfs. */
  readonly directory: string
  readonly layouts: ReadonlyArray<string>
  readonly runtime: string
  readonly network: number
  readonly cgroupParent: string
}

/** `ctr images import` names images by an annotation of its own. */
const nameForContainerd = (layout: string): void => {
  const path = `${layout}/index.json`
  const index = JSON.parse(readFileSync(path, "utf8")) as {
    readonly manifests: ReadonlyArray<{ readonly annotations: Record<string, string> }>
  }
  for (const { annotations } of index.manifests) {
    annotations["io.containerd.image.name"] = annotations["org.opencontainers.image.ref.name"] ?? ""
  }
  writeFileSync(path, JSON.stringify(index))
}

export const makeContainerd = async (options: ContainerdOptions): Promise<Contestant> => {
  const { directory, layouts, runtime, network, cgroupParent } = options
  // Its network is Cricket's under another number.
  const place = preparePlace({ directory, runtime, network })
  // Shims keep their sockets there, whatever the configuration says.
  mkdirSync("/run/containerd", { recursive: true })
  execFileSync("mount", ["-t", "tmpfs", "bench", "/run/containerd"])
  const socket = `${directory}/containerd.sock`
  const config = `${directory}/config.toml`
  writeFileSync(
    config,
    containerdConfiguration({
      root: `${directory}/root`,
      state: `${directory}/run`,
      socket,
      networks: `${directory}/cni`,
      pauseImage,
      runtime
    })
  )
  const daemon = makeDaemon({
    argv: ["/usr/bin/containerd", "--config", config],
    socket,
    log: `${directory}/containerd.log`
  })
  await daemon.start()
  for (const layout of layouts) {
    nameForContainerd(layout)
    execFileSync("tar", ["-C", layout, "-cf", `${layout}.tar`, ...readdirSync(layout)])
    execFileSync("ctr", ["--address", socket, "--namespace", "k8s.io", "images", "import", `${layout}.tar`])
  }
  await daemon.ready()
  return {
    name: "containerd",
    pod: (number) => criPod({ client: daemon.client, cgroupParent, logs: place.logs }, number),
    daemon: { restart: daemon.start, pid: daemon.pid, listStats: () => countStats(daemon.client) },
    companions: () =>
      processesWith((argv) => {
        const shim = /containerd-shim/.test(argv[0] ?? "") && argv.includes(socket)
        return shim || pauseCommand.every((word, index) => argv[index] === word)
      }),
    close: daemon.stop
  }
}
