/** Reads what cgroups use: all files of several cgroups in one go. */
import { Effect } from "effect"
import type { Files } from "../../linux/Files.ts"
import type { LinuxError } from "../../linux/LinuxError.ts"
import type { CgroupError } from "../CgroupError.ts"
import type { Cgroups } from "../Cgroups.ts"
import type { Usage } from "../Usage.ts"
import { detailFiles, detailsOf, pageSizeOf } from "./details.ts"
import { type FileNames, type Text, usageFiles, usageOf } from "./usage.ts"

interface Hierarchy {
  readonly version: 1 | 2
  /** Where a controller's cgroups are; undefined for one that is not mounted. */
  readonly mountOf: (controller: string) => string | undefined
  /** The cgroup's directory below a mount point. */
  readonly below: (mount: string, cgroup: string) => Effect.Effect<string, CgroupError>
}

/** Files that are read together. */
interface Table {
  /** Their names with the mount points of their controllers. No two controllers have a file of the same name. */
  readonly files: ReadonlyArray<{ readonly name: string; readonly mount: string }>
  /** Of each name, where it is among the files. */
  readonly places: ReadonlyMap<string, number>
  /** By cgroup: samples ask for the same ones again and again. */
  readonly paths: Map<string, ReadonlyArray<string>>
}

/** Cgroups come and go; so many are remembered before all are forgotten. */
const mostRemembered = 1024

export const makeReaders = (
  files: Files["Service"],
  { version, mountOf, below }: Hierarchy
): Pick<Cgroups["Service"], "usage" | "usageInDetail"> => {
  const tableOf = (...wanted: ReadonlyArray<FileNames>): Table => {
    const found = wanted.flatMap(Object.entries<ReadonlyArray<string>>).flatMap(([controller, names]) => {
      const mount = mountOf(controller)
      return mount === undefined ? [] : names.map((name) => ({ name, mount }))
    })
    return { files: found, places: new Map(found.map(({ name }, index) => [name, index])), paths: new Map() }
  }

  const pathsOf = (cgroup: string, table: Table): Effect.Effect<ReadonlyArray<string>, CgroupError> =>
    Effect.map(below("/", cgroup), (path) => {
      const found = table.files.map(({ name, mount }) => `${mount}${path}/${name}`)
      if (table.paths.size >= mostRemembered) table.paths.clear()
      table.paths.set(cgroup, found)
      return found
    })

  const read = Effect.fnUntraced(function* (
    cgroups: ReadonlyArray<string>,
    table: Table,
    options?: { readonly keepOpen: boolean }
  ): Effect.fn.Return<ReadonlyArray<Text>, LinuxError | CgroupError> {
    const paths: Array<string> = []
    for (const cgroup of cgroups) paths.push(...(table.paths.get(cgroup) ?? (yield* pathsOf(cgroup, table))))
    const texts = yield* files.readKernelTexts(paths, options)
    return cgroups.map((_, index) => (name) => {
      const place = table.places.get(name)
      return place === undefined ? undefined : texts[index * table.files.length + place]
    })
  })

  let known: ReadonlyArray<string> = []
  /** The machine's sizes of huge pages, by the files that a cgroup has: the same in all of them. */
  const pageSizes = Effect.fnUntraced(function* (cgroup: string) {
    const mount = mountOf("hugetlb")
    if (known.length > 0 || mount === undefined) return known
    const names = yield* files.readDirectory(yield* below(mount, cgroup)).pipe(
      Effect.catchIf(
        ({ _tag, code }) => _tag === "LinuxError" && code === "ENOENT",
        () => Effect.succeed([])
      )
    )
    known = names.flatMap((name) => pageSizeOf(name) ?? [])
    return known
  })

  const usageTable = tableOf(usageFiles[version])
  const usage = Effect.fn("Cgroups.usage")(function* (cgroups: ReadonlyArray<string>) {
    return (yield* read(cgroups, usageTable, { keepOpen: true })).map((text) => unlessGone(usageOf(version, text)))
  })

  const usageInDetail = Effect.fn("Cgroups.usageInDetail")(function* (cgroup: string) {
    const sizes = yield* pageSizes(cgroup)
    const [text] = yield* read([cgroup], tableOf(usageFiles[version], detailFiles(version, sizes)))
    const found = text && unlessGone(usageOf(version, text))
    return text && found && { usage: found, details: detailsOf(version, text, sizes) }
  })

  return { usage, usageInDetail }
}

const unlessGone = (usage: Usage): Usage | undefined =>
  usage.cpuTimeNs === undefined && usage.memory === undefined && usage.tasks === undefined ? undefined : usage
