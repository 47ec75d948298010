/** The CNI protocol from a plugin's side: environment, configuration on stdin, result or error as JSON on stdout. */
import { Effect } from "effect"
import { createHash } from "node:crypto"
import { Errno } from "../../Errno.ts"
import { NamespaceNode } from "../../Node.ts"
import { ProgramFailure, type Program, type Task } from "../../Program.ts"

export interface PortMapping {
  readonly hostPort: number
  readonly containerPort: number
  readonly protocol?: string
  readonly hostIP?: string
}

export interface NetworkConfig {
  readonly cniVersion?: string
  readonly name: string
  readonly type: string
  readonly bridge?: string
  readonly ipMasq?: boolean
  readonly isGateway?: boolean
  readonly ipam?: {
    readonly type?: string
    readonly subnet?: string
    readonly ranges?: ReadonlyArray<ReadonlyArray<{ subnet: string }>>
    readonly dataDir?: string
    readonly routes?: ReadonlyArray<object>
  }
  readonly runtimeConfig?: {
    readonly portMappings?: ReadonlyArray<PortMapping>
    readonly ipRanges?: ReadonlyArray<ReadonlyArray<{ subnet: string }>>
  }
  readonly prevResult?: Result
}

export interface Result {
  readonly cniVersion?: string
  readonly interfaces?: ReadonlyArray<{ readonly name: string; readonly mac?: string; readonly sandbox?: string }>
  readonly ips?: ReadonlyArray<{ readonly address: string; readonly gateway?: string; readonly interface?: number }>
  readonly routes?: ReadonlyArray<object>
  readonly dns?: object
}

/** An error of the protocol: JSON on stdout, exit code 1. */
export class CniError extends Errno {
  readonly number: number
  readonly text: string
  constructor(number: number, text: string) {
    super("EINVAL", text)
    this.number = number
    this.text = text
  }
}

export interface Invocation {
  readonly task: Task
  readonly config: NetworkConfig
  readonly stdin: string
  readonly id: string
  readonly netns: string
  readonly ifName: string
}

type Verb = (call: Invocation) => Effect.Effect<Result | undefined, Errno>

const supported = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"]

export const plugin =
  (verbs: { readonly add: Verb; readonly del: Verb; readonly check: Verb }): Program =>
  (task) => {
    let version = "1.0.0"
    const main = Effect.gen(function* () {
      const stdin = Buffer.from(yield* task.readAll(0)).toString()
      const commandName = task.env["CNI_COMMAND"] ?? ""
      if (commandName === "VERSION") {
        yield* task.write(1, JSON.stringify({ cniVersion: "1.0.0", supportedVersions: supported }))
        return 0
      }
      const config = yield* parse(stdin)
      version = config.cniVersion ?? version
      if (!supported.includes(version))
        return yield* Effect.fail(new CniError(1, `incompatible CNI versions; config is "${version}"`))
      const id = task.env["CNI_CONTAINERID"] ?? ""
      const ifName = task.env["CNI_IFNAME"] ?? ""
      const netns = task.env["CNI_NETNS"] ?? ""
      if (id === "" || ifName === "" || (netns === "" && commandName !== "DEL") || task.env["CNI_PATH"] === undefined) {
        return yield* Effect.fail(
          new CniError(4, "required env variables [CNI_CONTAINERID CNI_NETNS CNI_IFNAME CNI_PATH] missing")
        )
      }
      const call: Invocation = { task, config, stdin, id, netns, ifName }
      if (commandName === "ADD") {
        const result = yield* verbs.add(call)
        yield* task.write(1, JSON.stringify({ ...result, cniVersion: version }))
      } else if (commandName === "DEL") yield* verbs.del(call)
      else if (commandName === "CHECK") yield* verbs.check(call)
      else return yield* Effect.fail(new CniError(4, `unknown CNI_COMMAND: ${commandName}`))
      return 0
    })
    return Effect.catch(main, (error: Errno) => {
      const [code, msg] =
        error instanceof CniError
          ? [error.number, error.text]
          : error instanceof ProgramFailure
            ? [11, error.message]
            : [999, error.message]
      return Effect.as(Effect.ignore(task.write(1, JSON.stringify({ cniVersion: version, code, msg }))), 1)
    })
  }

export const parse = (text: string): Effect.Effect<NetworkConfig, Errno> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(JSON.parse(text) as NetworkConfig)
    } catch {
      return Effect.fail(new CniError(6, "error parsing configuration"))
    }
  })

export const netnsAt = (task: Task, path: string): NamespaceNode => {
  let node
  try {
    node = task.vfs.paths.find(path, { follow: true }).node
  } catch {
    node = undefined
  }
  if (!(node instanceof NamespaceNode) || node.namespaceKind !== "net") {
    throw new CniError(3, `failed to open netns "${path}": unknown FS magic or no such file`)
  }
  return node
}

export const shortHash = (...words: ReadonlyArray<string>): string =>
  createHash("sha256").update(words.join("\0")).digest("hex").slice(0, 24)
