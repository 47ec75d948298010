/** A pod from its image to its end, as kubelet walks it. */
import { Effect, type Layer } from "effect"
import { Registry } from "../../world/Registry.ts"
import { busybox } from "../../world/images.ts"
import { installHost } from "../../world/programs/host.ts"
import type { Scenario } from "../../world/Simulation.ts"
import { World, type WorldOptions } from "../../world/World.ts"
import * as clients from "./clients.ts"
import type { WorldOf } from "./contract.ts"
import { makeDaemon } from "./daemon.ts"
import { Kubelet } from "./kubelet.ts"
import * as node from "./nodeReads.ts"
import * as outcomes from "./outcomes.ts"
import * as pods from "./podReads.ts"
import * as usage from "./podUsage.ts"
import type { StepName } from "./rpcs.ts"
import * as streams from "./streams.ts"

export interface WalkOptions {
  readonly world?: Partial<WorldOptions>
  readonly handler?: "crun" | "runc"
  /** The pod has a user namespace of its own. */
  readonly userNamespace?: boolean
  /** Clients ask for all that can be asked: states, lists, events, statistics. */
  readonly reads?: boolean
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

/** Of pods whose containers share a PID namespace. */
const pause = { pause_image: imageName, pause_command: "sleep 100000" }

const inPod = { monitor_cgroup: "pod", monitor_exec_cgroup: "container" } as const
const monitorsInPod = { crun: inPod, runc: inPod }

type DaemonServices = Layer.Success<ReturnType<ReturnType<typeof makeDaemon>>>

type Step = Scenario<DaemonServices>["steps"][number] & { readonly name: StepName }

/** Steps with a container that runs. */
const withContainer =
  (kubelet: Kubelet) =>
  (name: StepName, run: Step["run"]): Step => ({ name, run, retry: Effect.andThen(kubelet.reachRunning, run) })

/** Requests and streams of clients, and the same streams without a streaming server before them. */
const streamSteps = (kubelet: Kubelet, worldOf: WorldOf): ReadonlyArray<Step> => {
  const step = withContainer(kubelet)
  return [
    step("Exec", clients.exec(kubelet, worldOf)),
    step("Exec: left by its client", clients.execThatIsLeft(kubelet)),
    step("Exec: in the pod", streams.exec(kubelet)),
    step("Exec: on a terminal", streams.execOnTerminal(kubelet, worldOf)),
    step("Exec: abandoned", streams.abandon(kubelet)),
    step("Attach", clients.attach(kubelet)),
    step("Attach: in the pod", streams.attach(kubelet)),
    step("PortForward", clients.forward(kubelet)),
    step("PortForward: in the pod", streams.dial(kubelet))
  ]
}

/** What kubelet asks when it has found the runtime. */
const greeting = (worldOf: WorldOf): ReadonlyArray<Step> => [
  { name: "Version", run: node.version },
  { name: "Status", run: node.status(worldOf) },
  { name: "RuntimeConfig", run: node.runtimeConfig },
  { name: "UpdateRuntimeConfig", run: node.updateRuntimeConfig(worldOf) },
  { name: "ListMetricDescriptors", run: usage.listMetricDescriptors }
]

/** By then the daemon has looked at its store by itself. */
const imageReads = (kubelet: Kubelet): ReadonlyArray<Step> => [
  { name: "ImageStatus", run: node.imageStatus(kubelet) },
  { name: "ListImages", run: node.listImages(kubelet) },
  { name: "StreamImages", run: node.streamImages(kubelet) },
  { name: "ImageFsInfo", run: node.imageFsInfo }
]

const podReads = (kubelet: Kubelet, worldOf: WorldOf): ReadonlyArray<Step> => {
  const step = withContainer(kubelet)
  return [
    step("PodSandboxStatus", pods.podSandboxStatus(kubelet)),
    step("ListPodSandbox", pods.listPodSandbox(kubelet)),
    step("StreamPodSandboxes", pods.streamPodSandboxes(kubelet)),
    step("ContainerStatus", pods.containerStatus(kubelet)),
    step("ListContainers", pods.listContainers(kubelet)),
    step("StreamContainers", pods.streamContainers(kubelet)),
    step("GetContainerEvents", pods.getContainerEvents),
    step("ContainerStats", usage.containerStats(kubelet, worldOf)),
    step("ListContainerStats", usage.listContainerStats(kubelet, worldOf)),
    step("StreamContainerStats", usage.streamContainerStats(kubelet, worldOf)),
    step("PodSandboxStats", usage.podSandboxStats(kubelet, worldOf)),
    step("ListPodSandboxStats", usage.listPodSandboxStats(kubelet, worldOf)),
    step("StreamPodSandboxStats", usage.streamPodSandboxStats(kubelet, worldOf)),
    step("ListPodSandboxMetrics", usage.listPodSandboxMetrics(kubelet, worldOf)),
    step("StreamPodSandboxMetrics", usage.streamPodSandboxMetrics(kubelet, worldOf))
  ]
}

export const podWalk =
  (options: WalkOptions = {}) =>
  (): Scenario<DaemonServices> => {
    const withStreams = options.streams === true
    const withReads = options.reads === true
    let world: World | undefined
    const worldOf = () => world as World
    const kubelet = new Kubelet({
      imageName,
      args: withStreams
        ? streams.answering
        : ["sh", "-c", `trap 'echo ${outcomes.lastLine}; exit 0' TERM; echo hello; sleep 3600`],
      stdin: withStreams,
      imageVolume: "/assets",
      ...(options.userNamespace === true ? { mappedVolume: "/home" } : {}),
      hostPort: 8080
    })
    const step = withContainer(kubelet)
    const steps: ReadonlyArray<Step> = [
      ...(withReads ? greeting(worldOf) : []),
      { name: "PullImage", run: outcomes.pullImage(kubelet) },
      { name: "RunPodSandbox", run: outcomes.runPod(kubelet), retry: kubelet.reachPod },
      { name: "CreateContainer", run: outcomes.createContainer(kubelet), retry: kubelet.reachContainer },
      { name: "StartContainer", run: outcomes.startContainer(kubelet), retry: kubelet.reachRunning },
      { name: "UpdateContainerResources", run: kubelet.resize, retry: kubelet.reachResized },
      { name: "UpdatePodSandboxResources", run: kubelet.resizePod },
      step("ExecSync", outcomes.execSync(kubelet, worldOf)),
      step("ReopenContainerLog", outcomes.reopenLog(kubelet, worldOf)),
      ...(withReads ? [...podReads(kubelet, worldOf), ...imageReads(kubelet)] : []),
      ...(withStreams ? streamSteps(kubelet, worldOf) : []),
      { name: "StopContainer", run: outcomes.stopContainer(kubelet, worldOf) },
      { name: "RemoveContainer", run: outcomes.removeContainer(kubelet) },
      { name: "StopPodSandbox", run: outcomes.stopPod(kubelet) },
      { name: "RemovePodSandbox", run: outcomes.removePod(kubelet) },
      { name: "RemoveImage", run: outcomes.removeImage(kubelet) }
    ]
    return {
      world: (seed) => (world = makeHost({ ...options.world, ...(seed === undefined ? {} : { seed }) })),
      daemon: makeDaemon({
        image: pause,
        runtime: {
          default_runtime: options.handler ?? "crun",
          cgroup_manager: "cgroupfs",
          enable_pod_events: true,
          ...(options.monitorsInPod === true ? { runtimes: monitorsInPod } : {})
        },
        stats: { included_pod_metrics: ["all"] }
      }),
      steps,
      cleanup: kubelet.cleanUp,
      roots: ["/var/lib", "/run", "/var/log"],
      ignore: (line, running) =>
        [...staysByDesign, ...(running ? whileRunning : [])].some((pattern) => pattern.test(line))
    }
  }
