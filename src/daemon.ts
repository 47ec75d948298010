/**
 * The daemon: every subsystem as a layer, and the one program they make. `daemon` reads from top to bottom as what
 * happens between the start of the process and its end.
 */
import { Duration, Effect, Layer, Option, Schema } from "effect"
import { SecureRandom } from "effect/crypto"
import { availableParallelism } from "node:os"
import { CgroupLimits } from "./cgroup/CgroupLimits.ts"
import { Cgroups } from "./cgroup/Cgroups.ts"
import { Cni } from "./cni/Cni.ts"
import { Settings, type SettingsShape } from "./config/Settings.ts"
import { Conmon } from "./conmon/Conmon.ts"
import { handlers } from "./cri/handlers.ts"
import { debugWaits, makeRequestListener, makeRouter } from "./cri/http.ts"
import { inspectContainer, inspectDaemon } from "./cri/inspect.ts"
import { Readiness } from "./cri/Readiness.ts"
import { makeServices } from "./cri/services.ts"
import { serve } from "./cri/Transport.ts"
import { layer as httpTransport } from "./image/HttpTransport.ts"
import { ImagePuller } from "./image/ImagePuller.ts"
import { Images } from "./image/Images.ts"
import { PullSettings } from "./image/PullSettings.ts"
import { RegistriesConf } from "./image/RegistriesConf.ts"
import { RegistryClient } from "./image/RegistryClient.ts"
import { TrustPolicy } from "./image/TrustPolicy.ts"
import { Files } from "./linux/Files.ts"
import { LayerUnpacker } from "./linux/LayerUnpacker.ts"
import { Locks } from "./linux/Locks.ts"
import { Mounts } from "./linux/Mounts.ts"
import { Namespaces } from "./linux/Namespaces.ts"
import { Processes } from "./linux/Processes.ts"
import { Sockets } from "./linux/Sockets.ts"
import { systemPath } from "./model/SystemPath.ts"
import { ContainerSpecs } from "./oci/ContainerSpecs.ts"
import { HostFacts } from "./oci/HostFacts.ts"
import { OciRuntime } from "./oci/OciRuntime.ts"
import { RuntimeHandlers } from "./oci/RuntimeHandlers.ts"
import { Admission } from "./pod/Admission.ts"
import { Events } from "./pod/Events.ts"
import { Jobs } from "./pod/Jobs.ts"
import { Pods } from "./pod/Pods.ts"
import { PodSettings } from "./pod/PodSettings.ts"
import { recover } from "./pod/recovery.ts"
import { Records } from "./pod/Records.ts"
import { Releases } from "./pod/Releases.ts"
import { runtimeStatus } from "./runtimeStatus.ts"
import { collection } from "./stats/Collection.ts"
import { LayerUsage } from "./stats/LayerUsage.ts"
import { PodMetrics } from "./stats/PodMetrics.ts"
import { Sampler } from "./stats/Sampler.ts"
import { ContainerStore } from "./store/ContainerStore.ts"
import { ImageStore } from "./store/ImageStore.ts"
import { StoreSettings } from "./store/StoreSettings.ts"
import { StreamingServer } from "./streaming/StreamingServer.ts"
import { StreamingTransport } from "./streaming/Transport.ts"

/** Another daemon works on the same root: two would give back what the other holds. */
export class RootInUse extends Schema.TaggedError<RootInUse>()("RootInUse", { root: Schema.String }) {
  override get message(): string {
    return `another cricket works on ${this.root}; stop it first, or give this one a root of its own with --root and --runroot`
  }
}

/** What the command line says beyond the settings. */
export interface DaemonOptions {
  readonly environment: Readonly<Record<string, string | undefined>>
  /** "x64", "arm64". */
  readonly architecture: string
  readonly registriesConf: string | undefined
  readonly registriesConfDirectory: string | undefined
}

/** All that leaves the process. */
const seam = Layer.mergeAll(
  Files.layer,
  Mounts.layer,
  Namespaces.layer,
  Processes.layer,
  Locks.layer,
  LayerUnpacker.layer,
  Sockets.layer,
  httpTransport,
  StreamingTransport.layer.pipe(Layer.provide(Files.layer)),
  SecureRandom.layerWebCrypto
)

/** The floors of the house, each on the ones below; the seam is left open. */
export const services = (settings: SettingsShape, options: DaemonOptions) => {
  const { crio, runtime, network } = settings
  const config = Settings.layer(settings)

  const host = Layer.mergeAll(Cgroups.layer, CgroupLimits.layer, HostFacts.layer)

  const stores = Layer.merge(ImageStore.layer, ContainerStore.layer).pipe(
    Layer.provide(Layer.succeed(StoreSettings, { graphRoot: crio.root, runRoot: crio.runroot }))
  )
  const cni = Cni.layer({
    networkDirectory: network.network_dir,
    defaultNetwork: network.cni_default_network,
    statusGraceMs: Duration.toMillis(network.cni_status_grace_period),
    pluginDirectories: [...(network.plugin_dir === "" ? [] : [network.plugin_dir]), ...network.plugin_dirs],
    environment: { PATH: systemPath },
    cacheDirectory: "/var/lib/cni",
    mapHostPorts: !runtime.disable_hostport_mapping
  })
  const oci = Layer.mergeAll(
    RuntimeHandlers.layer(runtime),
    ContainerSpecs.layer({ ...settings.image, ...runtime }),
    OciRuntime.layer({
      systemdCgroup: runtime.cgroup_manager === "systemd",
      directory: `${crio.runroot}/cricket/exec`,
      xdgRuntimeDirectory: options.environment.XDG_RUNTIME_DIR ?? ""
    })
  )

  const images = Layer.merge(Images.layer, ImagePuller.layer).pipe(
    Layer.provide(RegistryClient.layer),
    Layer.provide(Layer.merge(RegistriesConf.layer, TrustPolicy.layer)),
    Layer.provideMerge(
      PullSettings.layer(options.environment, options.architecture, {
        ...(options.registriesConf === undefined ? {} : { registriesConf: options.registriesConf }),
        ...(options.registriesConfDirectory === undefined
          ? {}
          : { registriesConfDirs: [options.registriesConfDirectory] })
      })
    )
  )

  const pods = Layer.mergeAll(Admission.layer, Releases.layer).pipe(
    Layer.provideMerge(Layer.mergeAll(Jobs.layer, Pods.layer)),
    Layer.provideMerge(Records.layer),
    Layer.provideMerge(PodSettings.layer({ cores: availableParallelism() }))
  )

  const stats = collection.pipe(
    Layer.provideMerge(Layer.merge(Sampler.layer, PodMetrics.layer)),
    Layer.provide(LayerUsage.layer)
  )

  return Layer.mergeAll(runtimeStatus, Readiness.layer, stats, StreamingServer.layer).pipe(
    Layer.provideMerge(pods),
    Layer.provideMerge(images),
    Layer.provideMerge(Layer.mergeAll(stores, cni, oci, Conmon.layer)),
    Layer.provideMerge(host),
    Layer.provideMerge(config)
  )
}

/** Before anything is looked at or repaired below it. */
const lockRoot = Effect.fnUntraced(function* (root: string) {
  const files = yield* Files
  const locks = yield* Locks
  yield* files.makeDirectory(`${root}/cricket`, { mode: 0o700, recursive: true })
  const lock = yield* locks.tryAcquire(`${root}/cricket/daemon.lock`, "write")
  if (Option.isNone(lock)) return yield* new RootInUse({ root })
})

/** Serves until it is interrupted. Containers go on without it. */
const serveCri = Effect.gen(function* () {
  const { api } = yield* Settings
  const jobs = yield* Jobs
  const readiness = yield* Readiness
  const events = yield* Events

  const grpc = yield* makeServices(handlers, { maxResponseBytes: api.grpc_max_send_msg_size })
  const http = yield* makeRequestListener(
    makeRouter({ "/info": inspectDaemon, "/containers/": inspectContainer, "/debug/waits": debugWaits(jobs.list) })
  )
  yield* serve({
    path: api.listen,
    services: grpc,
    http,
    maxReceiveBytes: api.grpc_max_recv_msg_size,
    maxSendBytes: api.grpc_max_send_msg_size
  })
  // Before the transport waits for calls that run.
  yield* Effect.addFinalizer(() => events.end)
  yield* Effect.logInfo(`serving the CRI on ${api.listen}`)
  yield* recover
  yield* readiness.markReady
  yield* Effect.logInfo("ready")
  return yield* Effect.never
})

export const daemon = (settings: SettingsShape, options: DaemonOptions) =>
  lockRoot(settings.crio.root).pipe(
    Effect.andThen(Effect.provide(serveCri, services(settings, options))),
    Effect.scoped,
    Effect.provide(seam)
  )
