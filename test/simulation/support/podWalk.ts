/** A pod from its image to its end, as kubelet walks it. */
import { Effect, type Layer } from "effect"
import { Registry } from "../../world/Registry.ts"
import { busybox } from "../../world/images.ts"
import { installHost } from "../../world/programs/host.ts"
import type { Scenario } from "../../world/Simulation.ts"
import { World, type WorldOptions } from "../../world/World.ts"
import * as clients from "./clients.ts"
import { makeDaemon } from "./daemon.ts"
import { Kubelet } from "./kubelet.ts"
import * as streams from "./streams.ts"

export interface WalkOptions {
  readonly world?: Partial<WorldOptions>
  readonly handler?: "crun" | "runc"
  /** The pod has a user namespace of its own. */
  readonly userNamespace?: boolean
  /** Clients use the container's streams and the pod's port. */
  readonly streams?: boolean
  /** Monitors run in cgroups of their own in the pod's, and the runtime of an ExecSync in the container's. */
  readonly monitorsInPod?: boolean
}

const imageName = "registry.test/library/busybox:1"

export const makeHost = (options: Partial<WorldOptions>): World => {
  const world = installHost(new World(options))
  const registry = new Registry("registry.test")
  registry.push("library/busybox", "1", busybox)
  world.registries.set(registry.host, registry)
  return world
}

/**
 * What a daemon keeps by design when it holds no pod and no image: its directories, the indexes and locks of its stores,
 * the bridge, the address that was given last, and logs, which are kubelet's to remove.
 */
export const staysByDesign: ReadonlyArray<RegExp> = [
  /^link bridge cni0$/,
  // The parent of containers whose pod names none goes with its last pod, unless the kernel says that it is busy.
  /^cgroup \S+ \/crio$/,
  /^locks \d+$/,
  /^mount ext4 \/var\/lib\/containers\/storage\/overlay$/,
  /^(directory|file) \/var\/log\/pods/,
  /^directory \/run\/(containers|crio|crun|runc|netns|ipcns|utsns|userns)$/,
  /^directory \/run\/crio\/exits$/,
  /^directory \/run\/containers\/storage(\/(overlay-layers|overlay-containers|cricket(\/(exec|pods))?))?$/,
  /^directory \/run\/containers\/storage\/cricket\/records(\/[0-9a-f-]{36}(\/(containers|pods))?)?$/,
  /^file \/run\/containers\/storage\/overlay-layers\/mountpoints\.(json|lock)$/,
  /^directory \/var\/lib\/cni(\/(results|networks(\/pods)?))?$/,
  /^file \/var\/lib\/cni\/networks\/pods\/last_reserved_ip\.0$/,
  /^directory \/var\/lib\/containers(\/storage(\/(cricket(\/(pods|containers))?|overlay(-layers|-images|-containers)?|overlay\/(l|cricket-staging|idmap)))?)?$/,
  /^file \/var\/lib\/containers\/storage\/(storage|userns)\.lock$/,
  /^file \/var\/lib\/containers\/storage\/cricket\/daemon\.lock$/,
  /^file \/var\/lib\/containers\/storage\/overlay-(layers\/layers|images\/images|containers\/containers)\.(json|lock)$/
]

/** Gone with the daemon: its own parts of the staging area and of the place for execs. */
export const whileRunning: ReadonlyArray<RegExp> = [
  /^directory \/run\/containers\/storage\/cricket\/exec\/exec-[0-9a-f]{16}$/,
  /^(directory|file) \/var\/lib\/containers\/storage\/overlay\/cricket-staging\/[0-9a-f]{32}(\/lock)?$/
]

const inPod = { monitor_cgroup: "pod", monitor_exec_cgroup: "container" } as const
const monitorsInPod = { crun: inPod, runc: inPod }

type DaemonServices = Layer.Success<ReturnType<ReturnType<typeof makeDaemon>>>

const streamSteps = (kubelet: Kubelet): Scenario<DaemonServices>["steps"] => {
  const step = (name: string, run: Effect.Effect<unknown, unknown, DaemonServices>) => ({
    name,
    run,
    retry: Effect.andThen(kubelet.reachRunning, run)
  })
  return [
    step("Exec", streams.exec(kubelet)),
    step("ExecOnTerminal", streams.execOnTerminal(kubelet)),
    step("AbandonedExec", streams.abandon(kubelet)),
    step("Attach", streams.attach(kubelet)),
    step("PortForward", streams.dial(kubelet)),
    step("ClientExec", clients.exec(kubelet)),
    step("ClientLeavesExec", clients.execThatIsLeft(kubelet)),
    step("ClientAttach", clients.attach(kubelet)),
    step("ClientPortForward", clients.forward(kubelet))
  ]
}

export const podWalk =
  (options: WalkOptions = {}) =>
  (): Scenario<DaemonServices> => {
    const withStreams = options.streams === true
    const kubelet = new Kubelet({
      imageName,
      args: withStreams ? streams.answering : ["sh", "-c", "trap 'exit 0' TERM; echo hello; sleep 3600"],
      stdin: withStreams,
      imageVolume: "/assets",
      ...(options.userNamespace === true ? { mappedVolume: "/home" } : {}),
      hostPort: 8080
    })
    return {
      world: (seed) => makeHost({ ...options.world, ...(seed === undefined ? {} : { seed }) }),
      daemon: makeDaemon({
        runtime: {
          default_runtime: options.handler ?? "crun",
          cgroup_manager: "cgroupfs",
          ...(options.monitorsInPod === true ? { runtimes: monitorsInPod } : {})
        },
        stats: { included_pod_metrics: ["all"] }
      }),
      steps: [
        { name: "PullImage", run: kubelet.pullImage },
        { name: "RunPodSandbox", run: kubelet.runPod, retry: kubelet.reachPod },
        { name: "CreateContainer", run: kubelet.createContainer, retry: kubelet.reachContainer },
        { name: "StartContainer", run: kubelet.startContainer, retry: kubelet.reachRunning },
        { name: "UpdateContainerResources", run: kubelet.resize, retry: kubelet.reachResized },
        { name: "UpdatePodSandboxResources", run: kubelet.resizePod },
        { name: "ExecSync", run: kubelet.exec(["echo", "from exec"]) },
        { name: "Statistics", run: kubelet.statistics },
        ...(withStreams ? streamSteps(kubelet) : []),
        { name: "StopContainer", run: kubelet.stopContainer },
        { name: "RemoveContainer", run: kubelet.removeContainer },
        { name: "StopPodSandbox", run: kubelet.stopPod },
        { name: "RemovePodSandbox", run: kubelet.removePod },
        { name: "RemoveImage", run: kubelet.removeImage }
      ],
      cleanup: kubelet.cleanUp,
      roots: ["/var/lib", "/run", "/var/log"],
      ignore: (line, running) =>
        [...staysByDesign, ...(running ? whileRunning : [])].some((pattern) => pattern.test(line))
    }
  }
