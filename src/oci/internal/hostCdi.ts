/** CDI devices of a container: specifications read from the host when a container asks for one, and what they name. */
import { Effect, Result } from "effect"
import { posix } from "node:path"
import { Files } from "../../linux/Files.ts"
import { isGone } from "../../linux/LinuxError.ts"
import type { Device, Mount } from "../../model/RuntimeSpec.ts"
import type { CdiDeviceNode, ContainerEdits } from "../cdi/cdiSpec.ts"
import { isSpecFile, parseCdiSpec } from "../cdi/cdiSpec.ts"
import { type FoundSpec, selectDevices } from "../cdi/selectDevices.ts"
import { SpecHostError } from "../OciError.ts"
import { deviceNode, deviceRule } from "../spec/devices.ts"
import type { SpecEdits } from "../spec/edits.ts"
import { invalid, orFail, unsupported } from "../spec/fault.ts"

const field = "CDI_devices"
/** Bytes; those of a node with eight large GPUs have some 60 KiB. */
const largestSpec = 4 * 1024 * 1024

interface FoundSpecs {
  readonly specs: ReadonlyArray<FoundSpec>
  /** A line for each file that cannot be used. */
  readonly broken: ReadonlyArray<string>
}

/** A broken file is nobody's device: the others count. */
const readSpecs = Effect.fnUntraced(function* (directories: ReadonlyArray<string>) {
  const files = yield* Files
  const specs: Array<FoundSpec> = []
  const broken: Array<string> = []
  for (const [priority, directory] of directories.entries()) {
    const names = yield* files.readDirectory(directory).pipe(
      Effect.catchIf(isGone, () => Effect.succeed([])),
      Effect.catch((error) => Effect.sync(() => (broken.push(error.message), [])))
    )
    for (const name of names.filter(isSpecFile)) {
      const path = posix.join(directory, name)
      const read = yield* Effect.result(files.readText(path, { maxBytes: largestSpec }))
      if (Result.isFailure(read)) {
        broken.push(`${path}: ${read.failure.message}`)
        continue
      }
      const parsed = parseCdiSpec(name, read.success)
      if (Result.isSuccess(parsed)) specs.push({ path, priority, spec: parsed.success })
      else broken.push(`${path}: ${parsed.failure}`)
    }
  }
  for (const line of broken) yield* Effect.logWarning(`CDI specification passed over: ${line}`)
  return { specs, broken } satisfies FoundSpecs
})

/** What the specification leaves out is as on the host; the owner is the container's user. */
const resolveNode = Effect.fnUntraced(function* (
  containerId: string,
  node: CdiDeviceNode,
  user: { readonly uid: number; readonly gid: number }
) {
  const files = yield* Files
  if (node.type === "p") {
    return yield* orFail(containerId, unsupported(field, `${node.path} is a FIFO, which no container gets as a device`))
  }
  const hostPath = node.hostPath === "" ? node.path : node.hostPath
  const owner = { uid: node.uid ?? user.uid, gid: node.gid ?? user.gid }
  if (node.type !== "" && node.major !== undefined) {
    const type = node.type === "b" ? ("b" as const) : ("c" as const)
    const mode = node.fileMode ?? 0o666
    return { path: node.path, type, major: node.major, minor: node.minor ?? 0, fileMode: mode, ...owner }
  }
  const stat = yield* Effect.mapError(
    files.stat(hostPath),
    (cause) => new SpecHostError({ containerId, field, path: hostPath, cause })
  )
  const found = deviceNode(node.path, stat)
  if (found === undefined) return yield* orFail(containerId, invalid(field, `${hostPath} is not a device`))
  return { ...found, ...owner, fileMode: node.fileMode ?? found.fileMode } satisfies Device
})

const toMount = ({ hostPath, containerPath, type, options }: ContainerEdits["mounts"][number]): Mount => {
  const isBind = type === "" || type === "bind" || type === "none"
  const says = options.includes("bind") || options.includes("rbind")
  return {
    destination: posix.resolve("/", containerPath),
    type: isBind ? "bind" : type,
    source: hostPath,
    options: isBind && !says ? ["rbind", ...options] : options
  }
}

const resolveEdits = Effect.fnUntraced(function* (
  containerId: string,
  edits: ContainerEdits,
  user: { readonly uid: number; readonly gid: number }
) {
  const nodes = yield* Effect.forEach(edits.deviceNodes, (node) =>
    Effect.map(resolveNode(containerId, node, user), (device) => ({ device, permissions: node.permissions }))
  )
  return {
    env: edits.env,
    devices: nodes.map(({ device }) => device),
    deviceRules: nodes.map(({ device, permissions }) => deviceRule(device, permissions === "" ? "rwm" : permissions)),
    mounts: edits.mounts.map(toMount),
    hooks: edits.hooks.map(({ hookName, path, args, env, timeout }) => [
      hookName,
      { path, env, ...(args.length === 0 ? {} : { args }), ...(timeout === undefined ? {} : { timeout }) }
    ]),
    // Root's group is the container's to give, not a device's.
    additionalGids: edits.additionalGids.filter((gid) => gid !== 0)
  } satisfies SpecEdits
})

export interface CdiInput {
  readonly containerId: string
  /** "vendor.com/class=name". */
  readonly names: ReadonlyArray<string>
  /** cdi_spec_dirs of the configuration. */
  readonly directories: ReadonlyArray<string>
  readonly user: { readonly uid: number; readonly gid: number }
}

/** Edits in the order in which they are to be applied. */
export const resolveCdiDevices = Effect.fnUntraced(function* (input: CdiInput) {
  const { containerId, names, directories, user } = input
  if (names.length === 0) return []
  const { specs, broken } = yield* readSpecs(directories)
  const selected = selectDevices(names, specs)
  if (Result.isFailure(selected)) {
    const beside = broken.length === 0 ? "" : `; not readable: ${broken.join("; ")}`
    const reason = `unresolvable CDI device: ${selected.failure} (looked in ${directories.join(", ")})${beside}`
    return yield* orFail(containerId, invalid(field, reason))
  }
  return yield* Effect.forEach(selected.success, (edits) => resolveEdits(containerId, edits, user))
})
