/** Runtime handlers: the OCI runtimes of the configuration that this host really has, and what they can do. */
import { Context, Effect, Layer } from "effect"
import type { Files } from "../linux/Files.ts"
import type { Processes } from "../linux/Processes.ts"
import type { Platform } from "../model/Platform.ts"
import type { HostFacts } from "./HostFacts.ts"
import { resolveHandler } from "./internal/resolveHandler.ts"
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
  /** Of a handler: "" for the daemon's, "pod" for one in the pod's; with systemd a slice too. */
  readonly monitor_cgroup: string
  /** "NAME=value". */
  readonly monitor_env: ReadonlyArray<string>
  /** Bytes. */
  readonly container_min_memory: number
  readonly no_sync_log: boolean
  readonly stream_websockets: boolean
  readonly seccomp_profile: string
  /** "first" pins what execs start to the first of the container's processors. */
  readonly exec_cpu_affinity: "" | "first"
  /** "container" lets the runtime of an ExecSync run in the container's cgroup. */
  readonly monitor_exec_cgroup: "" | "container"
  /** Absolute paths of programs by "os/arch" or "os/arch/variant". */
  readonly platform_runtime_paths: Readonly<Record<string, string>>
  /** Seconds. */
  readonly container_create_timeout: number
}

export interface RuntimeTable {
  readonly default_runtime: string
  readonly cgroup_manager: "cgroupfs" | "systemd"
  /** These three, where they are not empty, stand above what handlers say of their monitors. */
  readonly conmon: string
  readonly conmon_cgroup: string
  readonly conmon_env: ReadonlyArray<string>
  readonly runtimes: Readonly<Record<string, RuntimeEntry>>
}

/** A binary that can be an OCI runtime here. */
export interface RuntimeProgram {
  readonly kind: RuntimeKind
  /** Absolute path of the binary. */
  readonly path: string
  /** "1.8.1" */
  readonly version: string
  readonly features: RuntimeFeatures
}

export interface RuntimeHandler extends RuntimeProgram {
  readonly name: string
  /** State directory (--root); never "". */
  readonly root: string
  /** The handler's further options, as they take effect. */
  readonly options: RuntimeEntry
  /** What runs images of other platforms: by key of platform_runtime_paths the program, or why it cannot be used. */
  readonly platforms: ReadonlyMap<string, RuntimeProgram | string>
}

/** The key of platform_runtime_paths that stands for images of a platform, undefined for the handler's own program. */
export const platformKey = (
  { platforms }: Pick<RuntimeHandler, "platforms">,
  { os, architecture, variant = "" }: Platform
): string | undefined => {
  const general = `${os}/${architecture}`
  return [`${general}/${variant}`, general].find((key) => platforms.has(key))
}

export class RuntimeHandlers extends Context.Service<
  RuntimeHandlers,
  {
    /** "" is the default handler; `platform` a key of its platform_runtime_paths, with the program of that if it is usable. */
    readonly get: (name: string, platform?: string) => Effect.Effect<RuntimeHandler, UnknownRuntimeHandler>
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
            resolveHandler(table, table.default_runtime, configured),
            Effect.forEach(
              others,
              ([name, entry]) =>
                resolveHandler(table, name, entry).pipe(
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
        const get = Effect.fn("RuntimeHandlers.get")(function* (name: string, platform?: string) {
          const handler = byName.get(name === "" ? table.default_runtime : name)
          if (handler === undefined) {
            return yield* new UnknownRuntimeHandler({ handler: name, known: [...byName.keys()] })
          }
          const program = platform === undefined ? undefined : handler.platforms.get(platform)
          return typeof program === "object" ? { ...handler, ...program } : handler
        })
        return RuntimeHandlers.of({ get, list: Effect.succeed(handlers) })
      })
    )
}
