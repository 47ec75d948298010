/** Cricket as a contestant: this build, or another one beside it. */
import { readFileSync } from "node:fs"
import { preparePlace } from "../scripts/lib/daemon.ts"
import { importImage } from "../scripts/lib/importImage.ts"
import { type Contestant, image } from "./Contestant.ts"
import { countStats, criPod, makeDaemon } from "./criPod.ts"
import { processesWith } from "./processes.ts"

export interface CricketOptions {
  readonly name: string
  /** Its bin/cricket. */
  readonly program: string
  /** Of its own; `run` in it is on tmpfs. */
  readonly directory: string
  readonly layout: string
  readonly runtime: string
  readonly network: number
  readonly cgroupParent: string
}

/** What the OCI runtime was given, for the one who does the same without a daemon. */
export interface Specification {
  readonly text: string
  readonly podSandboxId: string
  readonly containerId: string
}

export const makeCricket = async (options: CricketOptions) => {
  const { name, program, directory, layout, runtime, network, cgroupParent } = options
  const place = preparePlace({ directory, runtime, network })
  await importImage({ graphRoot: place.root, runRoot: place.runroot, directory: layout, name: image })
  const settings = ["--config", place.config, "--config-dir", `${directory}/crio.conf.d`]
  const daemon = makeDaemon({
    argv: [program, ...settings, "--registries-conf", place.registries],
    socket: place.socket,
    log: `${directory}/cricket.log`
  })
  await daemon.start()
  await daemon.ready()
  let specification: Specification | undefined
  let running = ""
  const contestant: Contestant = {
    name,
    pod: (number) =>
      criPod({ client: daemon.client, cgroupParent, logs: place.logs }, number, (ids) => {
        running = ids.containerId
        if (specification !== undefined) return
        const bundle = `${place.runroot}/overlay-containers/${ids.containerId}/userdata`
        specification = { text: readFileSync(`${bundle}/config.json`, "utf8"), ...ids }
      }),
    daemon: { restart: daemon.start, pid: daemon.pid, listStats: () => countStats(daemon.client) },
    companions: () => processesWith((argv) => argv[0]?.endsWith("conmon") === true && argv.includes(running)),
    close: daemon.stop
  }
  return { contestant, specification: () => specification }
}
