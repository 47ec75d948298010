/** The network that new pods get: chosen from the configuration directory, watched, probed, never read on request. */
import { Context, Effect, Layer, Ref, Result, Semaphore, Stream } from "effect"
import { Files } from "../linux/Files.ts"
import { keepRunning } from "../linux/keepRunning.ts"
import { isGone } from "../linux/LinuxError.ts"
import { monotonicMs } from "../linux/monotonicMs.ts"
import type { Processes } from "../linux/Processes.ts"
import { statusChain } from "./internal/chain.ts"
import { type Network, type NetworkList, parseNetworkList } from "./internal/configuration.ts"
import { isAtLeast } from "./internal/version.ts"
import { Plugins } from "./Plugins.ts"

export interface NetworkConfigOptions {
  /** `network_dir`. */
  readonly networkDirectory: string
  /** `cni_default_network`: the name of a network; "" takes the first usable file in lexical order. */
  readonly defaultNetwork: string
  /** `cni_status_grace_period`, milliseconds: a network that was ready counts as ready for so long. */
  readonly statusGraceMs: number
}

export interface NetworkStatus {
  readonly ready: boolean
  /** "" when ready, else "NetworkPluginNotReady", the reason that the kubelet knows. */
  readonly reason: string
  /** What is wrong and in which file. */
  readonly message: string
}

/** An immutable view of the directory. */
export interface NetworkState {
  /** Undefined when no file is usable. */
  readonly network: Network | undefined
  /** Why the network cannot take pods; "" when it can. */
  readonly problem: string
  /** One sentence per file that was passed over. */
  readonly passedOver: ReadonlyArray<string>
}

export class NetworkConfig extends Context.Service<
  NetworkConfig,
  {
    /** The state found by the last scan. No I/O. */
    readonly current: Effect.Effect<NetworkState>
    /** For NetworkReady in the CRI's Status. No I/O. */
    readonly status: Effect.Effect<NetworkStatus>
    /** Reads the directory now, without waiting for the watch. */
    readonly rescan: Effect.Effect<void>
  }
>()("cricket/cni/NetworkConfig") {
  /** The first scan is done when the layer is built. */
  static readonly layer = (
    options: NetworkConfigOptions
  ): Layer.Layer<NetworkConfig, never, Files | Processes | Plugins> => Layer.effect(NetworkConfig, make(options))
}

// inotify can lose events and plugins come and go unseen, so the directory is also read at intervals: quickly while
// pods wait for a network, rarely afterwards.
const rescanWhenReady = "5 seconds"
const rescanWhenNotReady = "500 millis"
const maxConfigurationBytes = 1 << 20
const configurationFile = /\.(conf|conflist|json)$/

const make = Effect.fnUntraced(function* (options: NetworkConfigOptions) {
  const files = yield* Files
  const plugins = yield* Plugins
  const directory = options.networkDirectory.replace(/(.)\/+$/, "$1")
  const state = yield* Ref.make<NetworkState>({ network: undefined, problem: "not read yet", passedOver: [] })
  const lastReadyMs = yield* Ref.make<number | undefined>(undefined)
  const oneScan = yield* Semaphore.make(1)

  const readNetwork = Effect.fnUntraced(function* (name: string) {
    const text = yield* files
      .readText(`${directory}/${name}`, { maxBytes: maxConfigurationBytes })
      .pipe(Effect.mapError((error) => error.message))
    const list = yield* Effect.fromResult(parseNetworkList(text))
    return yield* supported(plugins, list)
  })

  /** The chosen network and what was passed over on the way to it. */
  const choose = Effect.fnUntraced(function* () {
    const names = yield* Effect.catchIf(files.readDirectory(directory), isGone, () => Effect.succeed([]))
    const passedOver: Array<string> = []
    for (const name of names.filter((name) => configurationFile.test(name))) {
      const read = yield* Effect.result(readNetwork(name))
      if (Result.isFailure(read)) passedOver.push(`${directory}/${name}: ${read.failure}`)
      else if (options.defaultNetwork === "" || read.success.name === options.defaultNetwork) {
        return { network: read.success, passedOver }
      }
    }
    return { network: undefined, passedOver }
  })

  const look = Effect.fnUntraced(function* (): Effect.fn.Return<NetworkState> {
    const choice = yield* Effect.result(choose())
    if (Result.isFailure(choice)) return { network: undefined, problem: choice.failure.message, passedOver: [] }
    const { network, passedOver } = choice.success
    if (network === undefined) return { network, problem: absence(options, directory, passedOver), passedOver }
    const problem = isAtLeast(network.version, "1.1.0")
      ? yield* statusChain(plugins, network).pipe(
          Effect.timeout("10 seconds"),
          Effect.as(""),
          Effect.catch((error) =>
            Effect.succeed(
              error._tag === "CniError" ? error.message : `network ${network.name}: STATUS took longer than 10 s`
            )
          )
        )
      : ""
    return { network, problem, passedOver }
  })

  const rescan = oneScan.withPermit(
    Effect.gen(function* () {
      const before = yield* Ref.get(state)
      const after = yield* look()
      yield* Ref.set(state, after)
      if (after.problem === "") yield* Ref.set(lastReadyMs, yield* monotonicMs)
      yield* report(before, after)
    })
  )

  const status = Effect.gen(function* () {
    const { problem } = yield* Ref.get(state)
    const ready = { ready: true, reason: "", message: "" }
    if (problem === "") return ready
    const since = yield* Ref.get(lastReadyMs)
    const now = yield* monotonicMs
    if (since !== undefined && now - since < options.statusGraceMs) return ready
    return { ready: false, reason: "NetworkPluginNotReady", message: problem }
  })

  yield* rescan
  const ticks = Effect.gen(function* () {
    const { problem } = yield* Ref.get(state)
    yield* Effect.sleep(problem === "" ? rescanWhenReady : rescanWhenNotReady)
    yield* rescan
  })
  // The stream fails where there is no directory yet and ends when it goes.
  const watch = files.watch(directory).pipe(
    Stream.debounce("50 millis"),
    Stream.runForEach(() => rescan),
    Effect.ignore,
    Effect.andThen(Effect.sleep("2 seconds"))
  )
  yield* keepRunning("the rescan of the CNI configuration", ticks)
  yield* keepRunning("the watch of the CNI configuration", watch)
  return NetworkConfig.of({ current: Ref.get(state), status, rescan })
})

/** Settles on the best version that every plugin of the list speaks. The failure names the plugin at fault. */
const supported = Effect.fnUntraced(function* (plugins: Plugins["Service"], list: NetworkList) {
  const spoken = yield* Effect.forEach(list.plugins, ({ type }) =>
    Effect.map(plugins.versions(type), (versions) => ({ type, versions }))
  ).pipe(Effect.mapError((error) => `plugin ${JSON.stringify(error.plugin)}: ${error.reason}`))
  const version = list.versions.find((version) => spoken.every(({ versions }) => versions.includes(version)))
  if (version !== undefined) return { ...list, version }
  const odd = spoken.find(({ versions }) => !list.versions.some((version) => versions.includes(version))) ?? spoken[0]
  return yield* Effect.fail(
    `plugin ${JSON.stringify(odd?.type)} does not support cniVersion ${list.versions.join(" or ")}; it supports ${odd?.versions.join(", ")}`
  )
})

const absence = (options: NetworkConfigOptions, directory: string, passedOver: ReadonlyArray<string>): string => {
  const looked =
    options.defaultNetwork === ""
      ? `no usable CNI configuration file (*.conflist, *.conf, *.json) in ${directory}`
      : `no CNI configuration file in ${directory} defines the network ${JSON.stringify(options.defaultNetwork)} (cni_default_network)`
  return passedOver.length === 0
    ? `${looked}; has the network provider started?`
    : `${looked}: ${passedOver.join("; ")}`
}

const report = (before: NetworkState, after: NetworkState) =>
  Effect.gen(function* () {
    for (const problem of after.passedOver) {
      if (!before.passedOver.includes(problem)) yield* Effect.logWarning(`CNI configuration passed over: ${problem}`)
    }
    if (after.problem !== before.problem && after.problem !== "") {
      yield* Effect.logWarning(`pod network is not ready: ${after.problem}`)
    }
    if (after.network !== undefined && after.network.text !== before.network?.text) {
      yield* Effect.logInfo(`pod network is ${after.network.name}, CNI ${after.network.version}`)
    }
  })
