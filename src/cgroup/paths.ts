/** Where a container's cgroup is: from the parent that kubelet names to what OCI runtimes and the kernel want. */
import { Result } from "effect"
import { posix } from "node:path"
import { CgroupError } from "./CgroupError.ts"

export type CgroupManager = "cgroupfs" | "systemd"

export interface ContainerCgroup {
  /** `linux.cgroupsPath` of the OCI specification: a path for cgroupfs, `slice:prefix:name` for systemd. */
  readonly cgroupsPath: string
  /** The cgroup in each hierarchy, below its mount point: `/kubepods/pod1/crio-ID`. */
  readonly path: string
}

/** Prefix of the names of containers' cgroups, as CRI-O's, so that tools which look for it find both. */
const prefix = "crio"

const defaultParents = { cgroupfs: "/crio", systemd: "system.slice" } as const

/**
 * The cgroup path of a systemd slice: `a-b.slice` lies in `a.slice` (systemd.slice(5)). Undefined for a name that
 * systemd would refuse.
 */
export const expandSlice = (slice: string): string | undefined => {
  if (slice === "-.slice") return "/"
  const name = /^([^/\0]+)\.slice$/.exec(slice)?.[1]
  const parts = name?.split("-") ?? [""]
  if (parts.includes("")) return undefined
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join("-")}.slice`).join("")
}

/**
 * A container's cgroup below the parent of its pod. kubelet writes parents in cgroupfs syntax for either driver:
 * `/kubepods/burstable/podX`, or `/kubepods.slice/kubepods-podX.slice` of which systemd needs only the last part.
 * A parent of the other driver's form means that kubelet and this daemon disagree about the driver, which must not
 * pass: the container would escape the limits of its pod.
 */
export const containerCgroup = (
  manager: CgroupManager,
  parent: string,
  id: string
): Result.Result<ContainerCgroup, CgroupError> => {
  const wanted = parent === "" ? defaultParents[manager] : parent
  const refuse = (reason: string) => Result.fail(new CgroupError({ cgroup: parent, reason }))
  if (wanted.includes("\0") || wanted.split("/").includes("..")) {
    return refuse("a parent must be a plain path without ..")
  }
  if (manager === "cgroupfs") {
    const base = posix.join("/", wanted)
    if (base.endsWith(".slice")) {
      return refuse(
        "this is a systemd slice, but cgroup_manager is cgroupfs: give kubelet and the runtime the same cgroup driver"
      )
    }
    const path = posix.join(base, `${prefix}-${id}`)
    return Result.succeed({ cgroupsPath: path, path })
  }
  const slice = posix.basename(wanted)
  const directory = expandSlice(slice)
  if (directory === undefined) {
    return refuse(
      "this is no systemd slice, but cgroup_manager is systemd: give kubelet and the runtime the same cgroup driver"
    )
  }
  return Result.succeed({
    cgroupsPath: `${slice}:${prefix}:${id}`,
    path: posix.join(directory, `${prefix}-${id}.scope`)
  })
}

/**
 * The cgroup of a container's monitor in the pod's; undefined where it stays in the daemon's. A scope of systemd is not
 * the daemon's to make by hand.
 */
export const monitorCgroup = (
  manager: CgroupManager,
  container: ContainerCgroup,
  id: string,
  wanted: string
): string | undefined =>
  manager === "cgroupfs" && wanted === "pod"
    ? posix.join(posix.dirname(container.path), `${prefix}-conmon-${id}`)
    : undefined

/** The cgroup that kubelet made for a pod; undefined when the request named none: its containers then lie among others. */
export const podCgroup = (manager: CgroupManager, parent: string): string | undefined =>
  parent === ""
    ? undefined
    : containerCgroup(manager, parent, "").pipe(
        Result.map(({ path }) => posix.dirname(path)),
        Result.getOrUndefined
      )
