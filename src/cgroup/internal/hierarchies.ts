/** Which cgroup file systems are mounted, from mountinfo (proc_pid_mountinfo(5)). */

export interface Hierarchies {
  /** 2 only for the pure unified hierarchy; hybrid mounts count as 1, since their controllers are v1's. */
  readonly version: 1 | 2
  /** Mount point by controller (v1: memory, pids, freezer, name=systemd …); empty for v2. */
  readonly controllers: ReadonlyMap<string, string>
  /** Every mount point in which a cgroup may have a directory. */
  readonly mounts: ReadonlyArray<string>
}

/** Octal escapes of mountinfo: space, tab, newline, backslash. */
const unescape = (path: string): string =>
  path.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))

const generic = new Set(["rw", "ro"])

/** Undefined when no cgroup file system is mounted. A later mount over the same point hides the earlier one. */
export const parseMountInfo = (text: string): Hierarchies | undefined => {
  const controllers = new Map<string, string>()
  const mounts = new Set<string>()
  let unified: string | undefined
  for (const line of text.split("\n")) {
    const [before = "", after = ""] = line.split(" - ")
    const mountPoint = unescape(before.split(" ")[4] ?? "")
    const [type, , options = ""] = after.split(" ")
    if (type === "cgroup2") unified = mountPoint
    else if (type === "cgroup") {
      for (const option of options.split(",")) if (!generic.has(option)) controllers.set(option, mountPoint)
    } else continue
    mounts.add(mountPoint)
  }
  if (unified !== undefined && controllers.size === 0) return { version: 2, controllers, mounts: [unified] }
  return controllers.size === 0 ? undefined : { version: 1, controllers, mounts: [...mounts] }
}
