/** Pods join their network and leave it by the plugins of the Container Network Interface (specification 1.1). */
import { Context, Deferred, type Duration, Effect, Layer, RcMap, Result, Semaphore } from "effect"
import { Files } from "../linux/Files.ts"
import type { LinuxError } from "../linux/LinuxError.ts"
import { Namespaces } from "../linux/Namespaces.ts"
import { Processes } from "../linux/Processes.ts"
import type { Attachment } from "./Attachment.ts"
import { CniError, type CniErrorKind } from "./CniError.ts"
import { type CniResult, normaliseResult } from "./CniResult.ts"
import { makeAttachmentCache, type Remembered } from "./internal/cache.ts"
import { addChain, type ChainRequest, checkChain, delChain, gcChain } from "./internal/chain.ts"
import type { Json } from "./internal/configuration.ts"
import { lacksPortmap, withPortmap } from "./internal/hostPorts.ts"
import { identityProblem, runtimeArgumentsOf } from "./internal/runtimeArguments.ts"
import { endStrays } from "./internal/strays.ts"
import { isAtLeast } from "./internal/version.ts"
import { NetworkConfig, type NetworkConfigOptions, type NetworkStatus } from "./NetworkConfig.ts"
import { type CniCommand, type PluginOptions, Plugins } from "./Plugins.ts"

export interface CniOptions extends NetworkConfigOptions, PluginOptions {
  /** Holds `results/`, libcni's record of attachments: "/var/lib/cni" unless a test says otherwise. */
  readonly cacheDirectory: string
  /** Host ports are forwarded where the network's plugins do not (the contrary of `disable_hostport_mapping`). */
  readonly mapHostPorts: boolean
}

export class Cni extends Context.Service<
  Cni,
  {
    /** For NetworkReady. No I/O. */
    readonly status: Effect.Effect<NetworkStatus>
    /**
     * Attaches a pod to the current network. On failure, a timeout (5 minutes) and interruption the chain's DEL has run
     * before this returns; call `del` all the same if the daemon died meanwhile or that DEL may have failed.
     */
    readonly add: (attachment: Attachment) => Effect.Effect<CniResult, CniError>
    /**
     * Detaches it, by the configuration and result that ADD has recorded, else by the current configuration. May be
     * called any number of times, without a network namespace, and for a pod that never got as far as ADD.
     */
    readonly del: (attachment: Attachment) => Effect.Effect<void, CniError>
    /** Fails when a plugin finds the attachment damaged. Nothing to check: success. */
    readonly check: (attachment: Attachment) => Effect.Effect<void, CniError>
    /**
     * At start, with all attachments of live pods: networks of CNI 1.1 and up give back what belongs to no other
     * (unless their configuration says disableGC); older networks have no such command. ADDs that begin meanwhile wait
     * for its end: what they attach is not among `valid`.
     */
    readonly gc: (valid: ReadonlyArray<Pick<Attachment, "podId" | "interfaceName">>) => Effect.Effect<void, CniError>
  }
>()("cricket/cni/Cni") {
  static readonly layer = (options: CniOptions): Layer.Layer<Cni, never, Files | Processes | Namespaces> =>
    Layer.effect(Cni, make(options)).pipe(
      Layer.provide(NetworkConfig.layer(options)),
      Layer.provide(Plugins.layer(options))
    )

  /** Over a NetworkConfig and Plugins that somebody else holds. */
  static readonly layerWithoutDependencies = (
    options: Pick<CniOptions, "cacheDirectory" | "mapHostPorts">
  ): Layer.Layer<Cni, never, Files | Processes | Namespaces | NetworkConfig | Plugins> =>
    Layer.effect(Cni, make(options))
}

const addLimit: Duration.Input = "5 minutes"
const delLimit: Duration.Input = "1 minute"
const gcLimit: Duration.Input = "30 seconds"

const make = Effect.fnUntraced(function* (options: Pick<CniOptions, "cacheDirectory" | "mapHostPorts">) {
  const files = yield* Files
  const processes = yield* Processes
  const namespaces = yield* Namespaces
  const config = yield* NetworkConfig
  const plugins = yield* Plugins
  const cache = makeAttachmentCache(files, options.cacheDirectory)

  // The specification forbids two commands at a time for one container.
  const locks = yield* RcMap.make({ lookup: (_podId: string) => Semaphore.make(1) })
  const exclusively =
    (podId: string) =>
    <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, E> =>
      Effect.scoped(Effect.flatMap(RcMap.get(locks, podId), (lock) => lock.withPermit(self)))

  /** While GC runs. */
  let collecting: Deferred.Deferred<void> | undefined

  const add = Effect.fn("Cni.add")(function* (attachment: Attachment) {
    const { network, problem } = yield* config.current
    if (network === undefined) return yield* failure("NotReady", "ADD", attachment.podId, problem)
    const invalid = identityProblem(attachment)
    if (invalid !== undefined) return yield* failure("Invalid", "ADD", attachment.podId, invalid)
    const args = yield* Effect.fromResult(runtimeArgumentsOf(attachment)).pipe(
      Effect.mapError((reason) => failure("Invalid", "ADD", attachment.podId, reason))
    )
    const request = yield* forwardingPorts({ network, ...identityOf(attachment), ...args })
    while (collecting !== undefined) yield* Deferred.await(collecting)
    return yield* exclusively(attachment.podId)(addRecorded(request))
  })

  const forwardingPorts = Effect.fnUntraced(function* (request: ChainRequest) {
    if (!options.mapHostPorts || !lacksPortmap(request)) return request
    const unable = (reason: string, cause?: unknown) =>
      failure(
        "Plugin",
        "ADD",
        request.containerId,
        `host ports: network ${request.network.name} forwards none, and the portmap plugin, which would, cannot be used: ${reason}; set disable_hostport_mapping if ports are forwarded by other means`,
        cause
      )
    const forwarding = yield* withPortmap(plugins, request).pipe(
      Effect.mapError((error) => unable(error.reason, error))
    )
    return forwarding ?? (yield* unable(`it does not support cniVersion ${request.network.version}`))
  })

  /** What ADD may have added is taken away too. Where it could not be added there is nothing to take away. */
  const asAdded = (request: ChainRequest): Effect.Effect<ChainRequest> =>
    lacksPortmap(request)
      ? withPortmap(plugins, request).pipe(
          Effect.map((forwarding) => forwarding ?? request),
          Effect.orElseSucceed(() => request)
        )
      : Effect.succeed(request)

  const addRecorded = Effect.fnUntraced(function* (request: ChainRequest) {
    let given: Json | undefined
    const attach = Effect.gen(function* () {
      const raw = yield* addChain(plugins, request, (result) => {
        given = result
      })
      const result = yield* Effect.fromResult(normaliseResult(raw, request.network.version)).pipe(
        Effect.mapError((reason) => failure("Plugin", "ADD", request.containerId, `the network's result: ${reason}`))
      )
      yield* cache.write(request, raw).pipe(Effect.mapError(stateFailure("ADD", request.containerId)))
      return result
    })
    return yield* within(
      addLimit,
      "ADD",
      request
    )(attach).pipe(
      Effect.onError(() =>
        detachUnfinished(request, given).pipe(
          Effect.catch((error) => Effect.logWarning(`clean-up after a failed ADD: ${error.message}`))
        )
      )
    )
  })

  /** DEL of the chain and of the record, when there is one. */
  const detach = Effect.fnUntraced(function* (request: ChainRequest, result: Json | undefined, record?: Remembered) {
    yield* within(delLimit, "DEL", request)(delChain(plugins, yield* asAdded(request), result))
    if (record !== undefined) {
      yield* cache.remove(record.file).pipe(Effect.mapError(stateFailure("DEL", request.containerId)))
    }
  })

  /** DEL for an ADD that has not come to its end, here or in a daemon that is no more. */
  const detachUnfinished = Effect.fnUntraced(function* (request: ChainRequest, given: Json | undefined) {
    yield* endStrays({ files, processes }, request.containerId).pipe(
      Effect.mapError((error) => failure("State", "DEL", request.containerId, error.message, error))
    )
    yield* detach(request, given)
  })

  const del = Effect.fn("Cni.del")(function* (attachment: Attachment) {
    // ADD refuses both before it runs any plugin, so nothing can be attached.
    const args = runtimeArgumentsOf(attachment)
    if (Result.isFailure(args) || identityProblem(attachment) !== undefined) return
    yield* exclusively(attachment.podId)(delRemembered(attachment, args.success))
  })

  const delRemembered = Effect.fnUntraced(function* (
    attachment: Attachment,
    args: Pick<ChainRequest, "cniArgs" | "capabilityArgs">
  ) {
    const { podId, netnsPath } = attachment
    // To guess would be wrong: plugins that are told of no namespace leave what they know only from inside it.
    const pinned = yield* namespaces
      .isPinned(netnsPath)
      .pipe(Effect.mapError((error) => failure("State", "DEL", podId, error.message, error)))
    const netns = pinned ? netnsPath : ""
    const { remembered, broken } = yield* cache.find(attachment).pipe(Effect.mapError(stateFailure("DEL", podId)))
    for (const record of remembered) yield* detach({ ...record.request, netns }, record.result, record)
    if (remembered.length === 0) {
      const { network, problem } = yield* config.current
      if (network === undefined) {
        return yield* failure("NotReady", "DEL", podId, `no record of the attachment, and ${problem}`)
      }
      yield* detachUnfinished({ network, ...identityOf(attachment), ...args, netns }, undefined)
    }
    for (const file of broken) yield* cache.remove(file).pipe(Effect.mapError(stateFailure("DEL", podId)))
  })

  const check = Effect.fn("Cni.check")(function* (attachment: Attachment) {
    yield* exclusively(attachment.podId)(
      Effect.gen(function* () {
        const find = cache.find(attachment).pipe(Effect.mapError(stateFailure("CHECK", attachment.podId)))
        const { remembered } = yield* find
        for (const { request, result } of remembered) {
          const { network } = request
          if (network.disableCheck || result === undefined || !isAtLeast(network.version, "0.4.0")) continue
          const live = { ...request, netns: attachment.netnsPath }
          yield* within(delLimit, "CHECK", live)(checkChain(plugins, live, result))
        }
      })
    )
  })

  const gc = Effect.fn("Cni.gc")((valid: ReadonlyArray<Pick<Attachment, "podId" | "interfaceName">>) =>
    Effect.acquireUseRelease(
      Effect.sync(() => (collecting = Deferred.makeUnsafe<void>())),
      () => collect(valid),
      (done) =>
        Effect.suspend(() => {
          collecting = undefined
          return Deferred.succeed(done, undefined)
        })
    )
  )

  const collect = Effect.fnUntraced(function* (valid: ReadonlyArray<Pick<Attachment, "podId" | "interfaceName">>) {
    const { network } = yield* config.current
    if (network === undefined || network.disableGc || !isAtLeast(network.version, "1.1.0")) return
    const remembered = yield* cache.list.pipe(Effect.mapError(stateFailure("GC", "")))
    const stale = remembered.filter(
      ({ request }) =>
        request.network.name === network.name &&
        !valid.some((one) => one.podId === request.containerId && one.interfaceName === request.interfaceName)
    )
    for (const record of stale) {
      yield* exclusively(record.request.containerId)(detach({ ...record.request, netns: "" }, record.result, record))
    }
    yield* within(gcLimit, "GC", { network, containerId: "" })(gcChain(plugins, network, valid))
  })

  return Cni.of({ status: config.status, add, del, check, gc })
})

const identityOf = ({ podId, netnsPath, interfaceName }: Attachment) => ({
  containerId: podId,
  netns: netnsPath,
  interfaceName
})

const failure = (kind: CniErrorKind, operation: CniCommand, podId: string, reason: string, cause?: unknown): CniError =>
  CniError.make({
    kind,
    operation,
    podId,
    network: "",
    plugin: "",
    reason,
    ...(cause !== undefined && { cause })
  })

const stateFailure = (operation: CniCommand, podId: string) => (error: LinuxError) =>
  failure("State", operation, podId, `record of the attachment: ${error.message}`, error)

const within =
  (
    limit: Duration.Input,
    operation: CniCommand,
    { network, containerId }: Pick<ChainRequest, "network" | "containerId">
  ) =>
  <A>(self: Effect.Effect<A, CniError>): Effect.Effect<A, CniError> =>
    Effect.timeoutOrElse(self, {
      duration: limit,
      orElse: () =>
        Effect.fail(
          CniError.make({
            kind: "Timeout",
            operation,
            podId: containerId,
            network: network.name,
            plugin: "",
            reason: `took longer than ${String(limit)} and was killed`
          })
        )
    })
