/** cgroups as OCI runtimes make and remove them. */
import { Cgroup } from "../Cgroups.ts"
import { Errno } from "../Errno.ts"
import type { World } from "../World.ts"

export interface Resources {
  readonly memory?: { readonly limit?: number; readonly swap?: number }
  readonly cpu?: { readonly shares?: number; readonly quota?: number; readonly period?: number; readonly cpus?: string }
  readonly pids?: { readonly limit?: number }
  readonly unified?: Record<string, string>
}

/** "a-b.slice" lives in "a.slice": systemd's rule. */
const slicePath = (slice: string): string => {
  const parts = slice.replace(/\.slice$/, "").split("-")
  return parts.map((_, index) => `${parts.slice(0, index + 1).join("-")}.slice`).join("/")
}

/** Directories of a container's cgroup, one per hierarchy. */
export const cgroupPathsOf = (
  world: World,
  cgroupsPath: string | undefined,
  systemd: boolean,
  id: string
): ReadonlyArray<string> => {
  let path = cgroupsPath === undefined || cgroupsPath === "" ? `/${id}` : cgroupsPath
  if (systemd) {
    const [slice = "", prefix = "", name = ""] = path.split(":")
    path = `/${slicePath(slice === "" ? "system.slice" : slice)}/${prefix === "" ? name : `${prefix}-${name}`}.scope`
  }
  if (!path.startsWith("/")) path = `/${path}`
  if (world.options.cgroups === "v2") return [`/sys/fs/cgroup${path}`]
  return [...world.cgroupRoots.keys()].map((hierarchy) => `/sys/fs/cgroup/${hierarchy}${path}`)
}

export const makeCgroups = (world: World, paths: ReadonlyArray<string>): void => {
  for (const path of paths) world.vfs.makeDirectories(path)
}

/** SIGKILL for everything that is left in a container's cgroups. */
export const killCgroups = (world: World, paths: ReadonlyArray<string>): void => {
  for (const path of paths) {
    const directory = world.vfs.exists(path) ? world.vfs.directory(path) : undefined
    if (!(directory instanceof Cgroup)) continue
    for (const cgroup of directory.everything()) {
      for (const process of cgroup.processes) world.processes.signal(process, 9)
    }
  }
}

export const removeCgroups = (world: World, paths: ReadonlyArray<string>): void => {
  for (const path of paths) {
    if (!world.vfs.exists(path)) continue
    for (const entry of world.vfs.treeUpwards(path)) {
      try {
        world.vfs.removeDirectory(entry.path)
      } catch (error) {
        if (!(error instanceof Errno) || error.code !== "EBUSY") throw error
      }
    }
  }
}

interface Write {
  readonly path: string
  readonly value: string
}

/** Every write to a control file, in order: the real runtimes make them one by one. */
export const resourceWrites = (
  world: World,
  paths: ReadonlyArray<string>,
  resources: Resources | undefined
): ReadonlyArray<Write> => {
  if (resources === undefined) return []
  const { memory, cpu, pids } = resources
  const limit = (value: number) => (value < 0 ? "max" : String(value))
  const writes: Array<Write> = []
  for (const path of paths) {
    const set = (file: string, value: string | undefined) => {
      if (value !== undefined && world.vfs.exists(`${path}/${file}`)) writes.push({ path: `${path}/${file}`, value })
    }
    if (memory?.limit !== undefined) {
      set("memory.max", limit(memory.limit))
      set("memory.limit_in_bytes", String(memory.limit))
    }
    if (memory?.swap !== undefined) {
      set("memory.swap.max", limit(memory.swap - (memory.limit ?? 0)))
      set("memory.memsw.limit_in_bytes", String(memory.swap))
    }
    if (pids?.limit !== undefined) set("pids.max", limit(pids.limit))
    if (cpu?.quota !== undefined) {
      set("cpu.max", `${cpu.quota < 0 ? "max" : cpu.quota} ${cpu.period ?? 100_000}`)
      set("cpu.cfs_quota_us", String(cpu.quota))
    }
    if (cpu?.shares !== undefined) {
      set("cpu.weight", String(Math.max(1, Math.floor(1 + ((cpu.shares - 2) * 9999) / 262_142))))
      set("cpu.shares", String(cpu.shares))
    }
    set("cpuset.cpus", cpu?.cpus)
    for (const [file, value] of Object.entries(resources.unified ?? {})) set(file, value)
  }
  return writes
}

export const applyResources = (world: World, paths: ReadonlyArray<string>, resources: Resources | undefined): void => {
  for (const { path, value } of resourceWrites(world, paths, resources)) world.vfs.writeExisting(path, value)
}
