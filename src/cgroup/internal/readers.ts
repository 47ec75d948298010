/** Reads what a cgroup uses: all files of one cgroup in one go. */
import { Effect } from "effect"
import { posix } from "node:path"
import type { Files } from "../../linux/Files.ts"
import type { LinuxError } from "../../linux/LinuxError.ts"
import type { CgroupError } from "../CgroupError.ts"
import type { Cgroups } from "../Cgroups.ts"
import type { Usage } from "../Usage.ts"
import { detailFiles, detailsOf, pageSizeOf } from "./details.ts"
import { type FileNames, type Text, usageFiles, usageOf } from "./usage.ts"

interface Hierarchy {
  readonly version: 1 | 2
  /** The directory in which a controller's files of the cgroup are. */
  readonly directory: (controller: string, cgroup: string) => Effect.Effect<string, CgroupError>
  readonly isMounted: (controller: string) => boolean
}

export const makeReaders = (
  files: Files["Service"],
  { version, directory, isMounted }: Hierarchy
): Pick<Cgroups["Service"], "usage" | "usageInDetail"> => {
  /** By name: no two controllers have a file of the same name. */
  const read = Effect.fnUntraced(function* (
    cgroup: string,
    ...wanted: ReadonlyArray<FileNames>
  ): Effect.fn.Return<Text, LinuxError | CgroupError> {
    const paths = new Map<string, string>()
    for (const [controller, names] of wanted.flatMap((one) => Object.entries(one))) {
      if (!isMounted(controller)) continue
      const path = yield* directory(controller, cgroup)
      for (const name of names) paths.set(name, posix.join(path, name))
    }
    const texts = yield* files.readKernelTexts([...paths.values()])
    const byName = new Map([...paths.keys()].map((name, index) => [name, texts[index]]))
    return (name) => byName.get(name)
  })

  let known: ReadonlyArray<string> = []
  /** The machine's sizes of huge pages, by the files that a cgroup has: the same in all of them. */
  const pageSizes = Effect.fnUntraced(function* (cgroup: string) {
    if (known.length > 0 || !isMounted("hugetlb")) return known
    const names = yield* files
      .readDirectory(yield* directory("hugetlb", cgroup))
      .pipe(Effect.catch((error) => (error.code === "ENOENT" ? Effect.succeed([]) : Effect.fail(error))))
    known = names.flatMap((name) => pageSizeOf(name) ?? [])
    return known
  })

  const usage = Effect.fn("Cgroups.usage")(function* (cgroup: string) {
    return unlessGone(usageOf(version, yield* read(cgroup, usageFiles[version])))
  })

  const usageInDetail = Effect.fn("Cgroups.usageInDetail")(function* (cgroup: string) {
    const sizes = yield* pageSizes(cgroup)
    const text = yield* read(cgroup, usageFiles[version], detailFiles(version, sizes))
    const found = unlessGone(usageOf(version, text))
    return found === undefined ? undefined : { usage: found, details: detailsOf(version, text, sizes) }
  })

  return { usage, usageInDetail }
}

const unlessGone = (usage: Usage): Usage | undefined =>
  usage.cpuTimeNs === undefined && usage.memory === undefined && usage.tasks === undefined ? undefined : usage
