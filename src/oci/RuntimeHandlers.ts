/** Runtime handlers: the OCI runtimes of the configuration that this host really has, and what they can do. */
import { Context, Effect, Layer } from "effect"
import { Files } from "../linux/Files.ts"
import { Processes } from "../linux/Processes.ts"
import { HostFacts, type HostFactsShape } from "./HostFacts.ts"
import { openAdvisories, probeRuntime, untestedBecause } from "./internal/runtimeProbe.ts"
import { findProgram } from "./internal/searchPath.ts"
import { RuntimeHandlerInvalid, UnknownRuntimeHandler } from "./OciError.ts"

export type RuntimeKind = "crun" | "runc" | "other"

/** CRI RuntimeHandlerFeatures: what runtime and kernel support together. */
export interface RuntimeFeatures {
  readonly recursiveReadOnlyMounts: boolean
  /** User namespaces and idmapped mounts. */
  readonly userNamespaces: boolean
}

/** A table of [crio.runtime.runtimes.*]; `Settings` fits. */
export interface RuntimeEntry {
  readonly runtime_path: string
  readonly runtime_root: string
  readonly runtime_type: "oci" | "vm" | "pod"
  readonly inherit_default_runtime: boolean
  readonly privileged_without_host_devices: boolean
  readonly allowed_annotations: ReadonlyArray<string>
  readonly default_annotations: Readonly<Record<string, string>>
  readonly monitor_path: string
  readonly monitor_cgroup: string
  /** "NAME=value". */
  readonly monitor_env: ReadonlyArray<string>
  /** Bytes. */
  readonly container_min_memory: number
  readonly no_sync_log: boolean
  readonly seccomp_profile: string
  /** "first" pins what execs start to the first of the container's processors. */
  readonly exec_cpu_affinity: "" | "first"
  /** Seconds. */
  readonly container_create_timeout: number
}

export interface RuntimeTable {
  readonly default_runtime: string
  readonly runtimes: Readonly<Record<string, RuntimeEntry>>
}

export interface RuntimeHandler {
  readonly name: string
  readonly kind: RuntimeKind
  /** Absolute path of the binary. */
  readonly path: string
  /** "1.8.1" */
  readonly version: string
  /** State directory (--root); never "". */
  readonly root: string
  readonly features: RuntimeFeatures
  /** The handler's further options. */
  readonly options: RuntimeEntry
}

/**
 * `mount_setattr` with AT_RECURSIVE (Linux 5.12) makes read-only what lies below a mount too. Idmapped mounts are as old,
 * but an overlay takes them as its layers since Linux 5.19.
 */
const withKernel = (features: RuntimeFeatures, facts: HostFactsShape): RuntimeFeatures => {
  const [major, minor] = facts.kernel
  const isSince = (minorOf5: number) => major > 5 || (major === 5 && minor >= minorOf5)
  return {
    recursiveReadOnlyMounts: features.recursiveReadOnlyMounts && isSince(12),
    userNamespaces: features.userNamespaces && facts.userNamespaces && isSince(19)
  }
}

const inherited = (table: RuntimeTable, entry: RuntimeEntry): RuntimeEntry => {
  const source = table.runtimes[table.default_runtime]
  if (!entry.inherit_default_runtime || source === undefined) return entry
  const { runtime_path, runtime_root, runtime_type } = source
  // A default without a path of its own is found by its name, not by the heir's.
  return {
    ...entry,
    runtime_path: runtime_path === "" ? table.default_runtime : runtime_path,
    runtime_root,
    runtime_type
  }
}

const resolve = Effect.fnUntraced(function* (table: RuntimeTable, name: string, configured: RuntimeEntry) {
  const options = inherited(table, configured)
  const refuse = (reason: string) => new RuntimeHandlerInvalid({ handler: name, reason })
  if (options.runtime_type !== "oci") {
    return yield* refuse(`runtime_type ${options.runtime_type} is not built; only "oci" is`)
  }
  const program = options.runtime_path === "" ? name : options.runtime_path
  const path = yield* findProgram(program)
  if (path === undefined) {
    return yield* refuse(`${program} is not an executable file; install it or set runtime_path`)
  }
  const probe = yield* probeRuntime(path)
  if (probe === undefined) return yield* refuse(`${path} --version does not answer as an OCI runtime does`)
  const untested = untestedBecause(probe.kind, probe.version)
  if (untested !== undefined) {
    yield* Effect.logWarning(`runtime handler ${name}: ${path} ${probe.version} ${untested}`)
  }
  const advisories = openAdvisories(probe.kind, probe.version)
  if (advisories.length > 0) {
    yield* Effect.logWarning(
      `runtime handler ${name}: ${path} ${probe.version} is open to ${advisories.join("; ")} unless your distribution has patched it`
    )
  }
  const handler: RuntimeHandler = {
    name,
    kind: probe.kind,
    path,
    version: probe.version,
    root: options.runtime_root === "" ? `/run/${probe.kind === "other" ? name : probe.kind}` : options.runtime_root,
    features: withKernel(probe.features, yield* HostFacts),
    options
  }
  return handler
})

export class RuntimeHandlers extends Context.Service<
  RuntimeHandlers,
  {
    /** "" is the default handler. */
    readonly get: (name: string) => Effect.Effect<RuntimeHandler, UnknownRuntimeHandler>
    /** Usable handlers, the default one first. */
    readonly list: Effect.Effect<ReadonlyArray<RuntimeHandler>>
  }
>()("cricket/oci/RuntimeHandlers") {
  /** Fails when the default handler cannot be used; other unusable handlers are left out with a warning. */
  static readonly layer = (
    table: RuntimeTable
  ): Layer.Layer<RuntimeHandlers, RuntimeHandlerInvalid, Files | Processes | HostFacts> =>
    Layer.effect(
      RuntimeHandlers,
      Effect.gen(function* () {
        const configured = table.runtimes[table.default_runtime]
        if (configured === undefined) {
          const reason = `default_runtime is not one of the configured handlers ${Object.keys(table.runtimes).join(", ")}`
          return yield* new RuntimeHandlerInvalid({ handler: table.default_runtime, reason })
        }
        const others = Object.entries(table.runtimes).filter(([name]) => name !== table.default_runtime)
        const [first, rest] = yield* Effect.all(
          [
            resolve(table, table.default_runtime, configured),
            Effect.forEach(
              others,
              ([name, entry]) =>
                resolve(table, name, entry).pipe(
                  Effect.map((handler) => [handler]),
                  Effect.catchTag("RuntimeHandlerInvalid", ({ message }) =>
                    Effect.as(Effect.logWarning(`${message}; it is left out`), [])
                  )
                ),
              { concurrency: 4 }
            )
          ],
          { concurrency: 2 }
        )
        const handlers = [first, ...rest.flat()]
        const byName = new Map(handlers.map((handler) => [handler.name, handler]))
        const get = Effect.fn("RuntimeHandlers.get")(function* (name: string) {
          const handler = byName.get(name === "" ? table.default_runtime : name)
          return handler ?? (yield* new UnknownRuntimeHandler({ handler: name, known: [...byName.keys()] }))
        })
        return RuntimeHandlers.of({ get, list: Effect.succeed(handlers) })
      })
    )
}
