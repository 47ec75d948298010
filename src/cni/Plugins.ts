/** CNI plugins: programs found in the plugin directories and run by the plugin protocol. */
import { Context, Effect, Layer, Option, Schema } from "effect"
import { Files } from "../linux/Files.ts"
import { Processes, type RunResult } from "../linux/Processes.ts"
import { CniError } from "./CniError.ts"
import type { Json } from "./internal/configuration.ts"

export interface PluginOptions {
  /** Searched in order. Also CNI_PATH, where plugins look for the IPAM plugin they delegate to. */
  readonly pluginDirectories: ReadonlyArray<string>
  /** Environment of every plugin beside CNI_*; needs PATH, since plugins run iptables and the like. */
  readonly environment: Readonly<Record<string, string>>
}

export type CniCommand = "ADD" | "DEL" | "CHECK" | "GC" | "STATUS" | "VERSION"

/** One run of one plugin (CNI specification, section 2). */
export interface Invocation {
  readonly command: CniCommand
  /** The plugin's type: a file name without slash. */
  readonly plugin: string
  readonly network: string
  readonly containerId: string
  /** "" when the namespace is gone. */
  readonly netns: string
  readonly interfaceName: string
  /** CNI_ARGS: "K=V;K=V". */
  readonly args: string
  readonly config: Json
}

export class Plugins extends Context.Service<
  Plugins,
  {
    /** Runs the plugin and gives what it printed. Interruption kills it. */
    readonly execute: (invocation: Invocation) => Effect.Effect<string, CniError>
    /** The specification versions that the installed plugin supports; asked once per state of the file. */
    readonly versions: (plugin: string) => Effect.Effect<ReadonlyArray<string>, CniError>
  }
>()("cricket/cni/Plugins") {
  static readonly layer = (options: PluginOptions): Layer.Layer<Plugins, never, Files | Processes> =>
    Layer.effect(Plugins, make(options))
}

const PrintedError = Schema.fromJsonString(
  Schema.Struct({
    code: Schema.Int,
    msg: Schema.optionalKey(Schema.String),
    details: Schema.optionalKey(Schema.String)
  })
)
const PrintedVersions = Schema.fromJsonString(Schema.Struct({ supportedVersions: Schema.Array(Schema.String) }))
const decodeError = Schema.decodeUnknownOption(PrintedError)
const decodeVersions = Schema.decodeUnknownOption(PrintedVersions)

// A plugin's answer is a few kilobytes; stderr is its log.
const maxOutput = 1 << 20
// What libcni asks with, and what plugins older than VERSION are taken for.
const probeConfig = { cniVersion: "1.1.0" }
const beforeVersionCommand = ["0.1.0"]

const make = Effect.fnUntraced(function* (options: PluginOptions) {
  const files = yield* Files
  const processes = yield* Processes
  const probed = new Map<string, { readonly stamp: string; readonly versions: ReadonlyArray<string> }>()

  /** Path and identity of the program, from the first directory that has it. */
  const find = Effect.fnUntraced(function* (
    invocation: Pick<Invocation, "command" | "network" | "plugin" | "containerId">
  ) {
    for (const directory of options.pluginDirectories) {
      const path = `${directory.replace(/\/+$/, "")}/${invocation.plugin}`
      const stat = yield* Effect.option(files.stat(path))
      if (Option.isSome(stat) && stat.value.kind === "file" && (stat.value.mode & 0o111) !== 0) {
        const { device, inode, size, modifiedMs } = stat.value
        return { path, stamp: `${device}:${inode}:${size}:${modifiedMs}` }
      }
    }
    return yield* failure(
      invocation,
      `no such executable in ${options.pluginDirectories.join(", ")}; install the plugin or correct plugin_dirs`
    )
  })

  const run = Effect.fnUntraced(function* (path: string, invocation: Invocation) {
    const result = yield* processes
      .run({
        path,
        args: [],
        env: {
          ...options.environment,
          // Go starts a thread per core otherwise; plugins are sequential and short.
          GOMAXPROCS: "1",
          CNI_COMMAND: invocation.command,
          CNI_CONTAINERID: invocation.containerId,
          CNI_NETNS: invocation.netns,
          CNI_IFNAME: invocation.interfaceName,
          CNI_ARGS: invocation.args,
          CNI_PATH: options.pluginDirectories.join(":")
        },
        stdin: new TextEncoder().encode(JSON.stringify(invocation.config)),
        maxOutput
      })
      .pipe(Effect.mapError((cause) => failure(invocation, `could not be started: ${cause.message}`, cause)))
    if (result.code === 0) return text(result.stdout)
    return yield* refusal(invocation, result)
  })

  const execute = Effect.fn("Plugins.execute")(function* (invocation: Invocation) {
    const { path } = yield* find(invocation)
    return yield* run(path, invocation)
  })

  const versions = Effect.fn("Plugins.versions")(function* (plugin: string) {
    const probe: Invocation = {
      command: "VERSION",
      plugin,
      network: "",
      containerId: "",
      netns: "dummy",
      interfaceName: "dummy",
      args: "",
      config: probeConfig
    }
    const { path, stamp } = yield* find(probe)
    const known = probed.get(path)
    if (known?.stamp === stamp) return known.versions
    const printed = yield* run(path, probe).pipe(
      Effect.catchIf(
        (error) => error.code !== undefined,
        () => Effect.succeed("")
      )
    )
    const answer = decodeVersions(printed)
    if (printed !== "" && Option.isNone(answer)) {
      return yield* failure(probe, `answered VERSION with ${excerpt(printed)}`)
    }
    const supported = Option.match(answer, {
      onNone: () => beforeVersionCommand,
      onSome: ({ supportedVersions }) => supportedVersions
    })
    probed.set(path, { stamp, versions: supported })
    return supported
  })

  return Plugins.of({ execute, versions })
})

const failure = (
  { command, containerId, network, plugin }: Pick<Invocation, "command" | "network" | "plugin" | "containerId">,
  reason: string,
  cause?: unknown
): CniError =>
  CniError.make({
    kind: "Plugin",
    operation: command,
    podId: containerId,
    network,
    plugin,
    reason,
    ...(cause !== undefined && { cause })
  })

/** The error object that the plugin printed (specification, section 5), or whatever else it left. */
const refusal = (invocation: Invocation, result: RunResult): CniError => {
  const printed = text(result.stdout)
  const error = decodeError(printed)
  if (Option.isSome(error)) {
    const { code, msg = "", details = "" } = error.value
    const words = [msg, details].filter((part) => part !== "").join("; ")
    return CniError.make({ ...failure(invocation, words === "" ? `error ${code} without a message` : words), code })
  }
  const end = result.signal === null ? `exit code ${result.code}` : `killed by signal ${result.signal}`
  const output = `${text(result.stderr)}\n${printed}`.trim()
  return failure(invocation, output === "" ? `${end} without a message` : `${end}: ${excerpt(output)}`)
}

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

const excerpt = (output: string): string => {
  const line = output.replace(/\s+/g, " ").trim()
  return line.length > 500 ? `${line.slice(0, 500)}…` : line
}
