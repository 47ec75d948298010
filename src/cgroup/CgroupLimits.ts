/** The control files that hold limits, read before a change and written back when it fails. */
import { Context, Effect, Layer, Result } from "effect"
import { posix } from "node:path"
import { Files } from "../linux/Files.ts"
import type { LinuxError } from "../linux/LinuxError.ts"
import { CgroupError } from "./CgroupError.ts"
import { parseCount, parseKeyed } from "./internal/files.ts"
import { type Hierarchies, parseMountInfo } from "./internal/hierarchies.ts"

/** Texts by name of the control file ("memory.max"). */
export type LimitValues = Readonly<Record<string, string>>

type Failure = LinuxError | CgroupError

export class CgroupLimits extends Context.Service<
  CgroupLimits,
  {
    /** Bytes charged to the cgroup without the page cache that the kernel drops first. */
    readonly memoryInUse: (cgroup: string) => Effect.Effect<bigint, Failure>
    /** Files that are not there are left out. */
    readonly read: (cgroup: string, names: Iterable<string>) => Effect.Effect<LimitValues, Failure>
    /** Writes them in whichever order the kernel takes them: some limits must not pass others on the way. */
    readonly write: (cgroup: string, values: LimitValues) => Effect.Effect<void, Failure>
  }
>()("cricket/cgroup/CgroupLimits") {
  static readonly layerFrom = (mountInfo: string): Layer.Layer<CgroupLimits, Failure, Files> =>
    Layer.effect(
      CgroupLimits,
      Effect.gen(function* () {
        const files = yield* Files
        const hierarchies = parseMountInfo(yield* files.readText(mountInfo))
        if (hierarchies === undefined) {
          return yield* new CgroupError({ cgroup: "/", reason: "no cgroup file system is mounted" })
        }
        return make(files, hierarchies)
      })
    )

  static readonly layer = CgroupLimits.layerFrom("/proc/self/mountinfo")
}

/** Names of control files begin with their controller's. */
const isControlFile = (name: string): boolean => /^[a-z]+(\.[A-Za-z0-9_-]+)+$/.test(name)

const make = (files: Files["Service"], { version, controllers, mounts }: Hierarchies): CgroupLimits["Service"] => {
  const pathOf = (cgroup: string, name: string): Effect.Effect<string, CgroupError> => {
    const refused = (reason: string) => Effect.fail(new CgroupError({ cgroup, reason }))
    if (!isControlFile(name)) return refused(`${JSON.stringify(name)} is no control file`)
    if (posix.join("/", cgroup) === "/" || cgroup.split("/").includes("..")) {
      return refused("the root and paths with .. are never acted on")
    }
    const controller = name.slice(0, name.indexOf("."))
    const mount = version === 2 ? mounts[0] : controllers.get(controller)
    return mount === undefined
      ? refused(`the ${controller} controller is not mounted`)
      : Effect.succeed(posix.join(mount, cgroup, name))
  }

  const memoryInUse = Effect.fn("CgroupLimits.memoryInUse")(function* (cgroup: string) {
    const read = (name: string) => Effect.flatMap(pathOf(cgroup, name), (path) => files.readText(path))
    const usage = parseCount(yield* read(version === 2 ? "memory.current" : "memory.usage_in_bytes"))
    // v1 counts the cgroup alone; its total_ values are those of the tree, as v2's are.
    const inactive = parseKeyed(yield* read("memory.stat"), version === 2 ? "inactive_file" : "total_inactive_file")
    return usage > inactive ? usage - inactive : 0n
  })

  const read = Effect.fn("CgroupLimits.read")(function* (cgroup: string, names: Iterable<string>) {
    const values: Record<string, string> = {}
    for (const name of names) {
      const path = yield* Effect.result(pathOf(cgroup, name))
      // A controller that is not there has no limits.
      if (Result.isFailure(path) && isControlFile(name)) continue
      const text = yield* Effect.flatMap(Effect.fromResult(path), (file) => files.readText(file)).pipe(
        Effect.catchIf(
          (error) => error._tag === "LinuxError" && error.code === "ENOENT",
          () => Effect.undefined
        )
      )
      if (text !== undefined) values[name] = text.trim()
    }
    return values
  })

  const write = Effect.fn("CgroupLimits.write")(function* (cgroup: string, values: LimitValues) {
    let left = Object.entries(values)
    while (left.length > 0) {
      const refused: Array<readonly [string, string]> = []
      let last: Failure | undefined
      for (const entry of left) {
        const [name, text] = entry
        const written = yield* Effect.result(
          Effect.flatMap(pathOf(cgroup, name), (path) => files.writeExisting(path, `${text}\n`))
        )
        if (Result.isSuccess(written)) continue
        refused.push(entry as readonly [string, string])
        last = written.failure
      }
      // One that was refused may be taken once another one is written.
      if (last !== undefined && refused.length === left.length) return yield* last
      left = refused as Array<[string, string]>
    }
  })

  return { memoryInUse, read, write }
}
