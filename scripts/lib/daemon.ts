/** Starts and ends a daemon with a root of its own: for the first pod, the benchmark and the tests. */
import { type ChildProcess, spawn } from "node:child_process"
import { createWriteStream, mkdirSync, writeFileSync } from "node:fs"
import { once } from "node:events"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { connect, type CriClient } from "./criClient.ts"

const top = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "")

export interface DaemonPlace {
  /** Everything of this daemon lies below it. */
  readonly directory: string
  /** Default handler: "crun" or "runc". */
  readonly runtime: string
  /** Third byte of the pods' network 10.213.N.0/24 and name of the bridge. */
  readonly network: number
  /** Directories of CNI plugins; Debian's unless told. */
  readonly pluginDirectories?: ReadonlyArray<string>
  /** Further lines of crio.conf, tables of their own. */
  readonly configuration?: string
  /** Text of registries.conf. */
  readonly registries?: string
}

export interface Place {
  readonly directory: string
  readonly socket: string
  readonly config: string
  readonly root: string
  readonly runroot: string
  readonly logs: string
  readonly bridge: string
  readonly registries: string
}

const placeOf = ({ directory, network }: DaemonPlace): Place => ({
  directory,
  socket: `${directory}/cricket.sock`,
  config: `${directory}/crio.conf`,
  root: `${directory}/root`,
  runroot: `${directory}/run`,
  logs: `${directory}/logs`,
  bridge: `cricket${network}`,
  registries: `${directory}/registries.conf`
})

/** Writes the configuration of a daemon and its network; starts nothing. */
export const preparePlace = (request: DaemonPlace): Place => {
  const place = placeOf(request)
  for (const name of ["cni", "logs", "root", "run"]) mkdirSync(`${request.directory}/${name}`, { recursive: true })
  writeFileSync(
    place.config,
    `[crio]
root = "${place.root}"
runroot = "${place.runroot}"
log_dir = "${place.logs}"
version_file = "${request.directory}/version"
clean_shutdown_file = "${request.directory}/clean.shutdown"
[crio.api]
listen = "${place.socket}"
[crio.runtime]
default_runtime = "${request.runtime}"
cgroup_manager = "cgroupfs"
namespaces_dir = "${place.runroot}"
container_exits_dir = "${place.runroot}/exits"
container_attach_socket_dir = "${place.runroot}/attach"
[crio.runtime.runtimes.crun]
runtime_root = "${place.runroot}/crun"
monitor_cgroup = ""
[crio.runtime.runtimes.runc]
runtime_root = "${place.runroot}/runc"
monitor_cgroup = ""
[crio.network]
network_dir = "${request.directory}/cni"
plugin_dirs = ${JSON.stringify(request.pluginDirectories ?? ["/usr/lib/cni"])}
${request.configuration ?? ""}
`
  )
  writeFileSync(
    `${request.directory}/cni/10-pods.conflist`,
    JSON.stringify({
      cniVersion: "1.0.0",
      name: `pods${request.network}`,
      plugins: [
        {
          type: "bridge",
          bridge: place.bridge,
          isGateway: true,
          ipMasq: false,
          hairpinMode: true,
          ipam: {
            type: "host-local",
            dataDir: `${request.directory}/leases`,
            ranges: [[{ subnet: `10.213.${request.network}.0/24` }]],
            routes: [{ dst: "0.0.0.0/0" }]
          }
        },
        { type: "portmap", capabilities: { portMappings: true } }
      ]
    })
  )
  writeFileSync(place.registries, request.registries ?? "")
  return place
}

export interface RunningDaemon {
  readonly place: Place
  readonly client: CriClient
  readonly process: ChildProcess
  /** SIGTERM, or the signal given; waits for its end and answers the exit code or signal. */
  readonly stop: (signal?: NodeJS.Signals) => Promise<number | string>
}

/** Milliseconds until the daemon answers Status; more than enough for a loaded machine. */
const startLimit = 30_000

const awaitReady = async (client: CriClient, ended: () => boolean, log: string): Promise<void> => {
  const until = Date.now() + startLimit
  while (!ended() && Date.now() < until) {
    try {
      await client.status({}, { deadlineMs: 1000 })
      return
    } catch {
      await sleep(20)
    }
  }
  throw new Error(`the daemon ${ended() ? "ended" : "does not answer"}; its log is ${log}`)
}

/** Needs dist/cricket.js (npm run build). The log goes to `<directory>/cricket.log`. */
export const startDaemon = async (
  place: Place,
  options: { readonly arguments?: ReadonlyArray<string>; readonly environment?: Readonly<Record<string, string>> } = {}
): Promise<RunningDaemon> => {
  const log = `${place.directory}/cricket.log`
  const child = spawn(
    `${top}/bin/cricket`,
    [
      "--config",
      place.config,
      "--config-dir",
      `${place.directory}/crio.conf.d`,
      "--registries-conf",
      place.registries,
      ...(options.arguments ?? [])
    ],
    // Of its own session: Ctrl-C is for the one who started it, who ends it in order.
    { stdio: ["ignore", "pipe", "pipe"], detached: true, env: { ...process.env, ...options.environment } }
  )
  const file = createWriteStream(log, { flags: "a" })
  child.stdout.pipe(file, { end: false })
  child.stderr.pipe(file, { end: false })
  const client = connect(place.socket)
  const ended = () => child.exitCode !== null || child.signalCode !== null
  const stop = async (signal: NodeJS.Signals = "SIGTERM") => {
    client.close()
    if (!ended()) {
      const exit = once(child, "exit")
      child.kill(signal)
      await exit
    }
    file.end()
    return child.exitCode ?? child.signalCode ?? 0
  }
  try {
    await awaitReady(client, ended, log)
  } catch (error) {
    await stop("SIGKILL")
    throw error
  }
  return { place, client, process: child, stop }
}
