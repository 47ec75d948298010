/** What contestants stand on: file systems, images, and cgroups that are cleared away afterwards. */
import { execFileSync, spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readdirSync, rmdirSync, rmSync } from "node:fs"
import { loadavg, tmpdir } from "node:os"
import { writeBusyboxRootfs } from "../scripts/lib/busyboxImage.ts"
import { writeLayout } from "../scripts/lib/imageLayout.ts"
import { command, image, pauseCommand, pauseImage } from "./Contestant.ts"

export const say = (text: string): void => {
  process.stderr.write(`${text}\n`)
}

export const load = (): string | undefined => loadavg()[0]?.toFixed(1)

/** The file system that all stores lie on, mounted at the directory: "loop", "tmpfs", or the one it is on. */
const mountStores = (directory: string, on: string): void => {
  if (on === "tmpfs") execFileSync("mount", ["-t", "tmpfs", "-o", "mode=0711", "bench", directory])
  else if (on === "loop") {
    const file = `${directory}.ext4`
    execFileSync("truncate", ["-s", "2G", file])
    execFileSync("mkfs.ext4", ["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", file])
    execFileSync("mount", ["-o", "loop", file, directory])
    // The mount keeps it until its end.
    rmSync(file)
  }
}

/** A directory of its own for each contestant, `run` in it on tmpfs as /run is. */
export const placeFor = (directory: string, name: string): string => {
  const place = `${directory}/${name}`
  mkdirSync(`${place}/run`, { recursive: true })
  execFileSync("mount", ["-t", "tmpfs", "-o", "mode=0755", "bench", `${place}/run`])
  return place
}

/** One rootfs as an image for pods, and as another one that containerd takes for its sandboxes. */
export const makeImages = (directory: string): { readonly layout: string; readonly pauseLayout: string } => {
  const rootfs = `${directory}/rootfs`
  mkdirSync(rootfs, { mode: 0o755 })
  writeBusyboxRootfs(rootfs)
  const make = (path: string, name: string, Cmd: ReadonlyArray<string>) => {
    const layout = writeLayout(path)
    layout.addImage({ name, layers: [layout.addLayer(rootfs)], config: { Env: ["PATH=/bin"], Cmd, WorkingDir: "/" } })
    return path
  }
  return {
    layout: make(`${directory}/layout`, image, command),
    pauseLayout: make(`${directory}/pause-layout`, pauseImage, pauseCommand)
  }
}

/** Cgroups of contestants that leave theirs; only empty ones can be removed. */
const removeCgroups = (cgroupParent: string): void => {
  const remove = (path: string): void => {
    try {
      for (const entry of readdirSync(path, { withFileTypes: true }))
        if (entry.isDirectory()) remove(`${path}/${entry.name}`)
      rmdirSync(path)
    } catch {
      // Another hierarchy, or gone already.
    }
  }
  for (const name of readdirSync("/sys/fs/cgroup")) remove(`/sys/fs/cgroup/${name}${cgroupParent}`)
}

/** Runs a benchmark in a directory with everything under it, and takes all away afterwards. A failure is printed. */
export const onGround = async (
  { on, cgroupParent }: { readonly on: string; readonly cgroupParent: string },
  measure: (directory: string) => Promise<void>
): Promise<void> => {
  // A network of our own starts without loopback.
  execFileSync("ip", ["link", "set", "lo", "up"])
  const directory = mkdtempSync(`${on !== "tmpfs" && on !== "loop" ? on : tmpdir()}/cricket-bench-`)
  try {
    mountStores(directory, on)
    // The record of network attachments is to lie on the same file system, and to be our own.
    mkdirSync(`${directory}/cni`)
    mkdirSync("/var/lib/cni", { recursive: true })
    execFileSync("mount", ["--bind", `${directory}/cni`, "/var/lib/cni"])
    await measure(directory)
  } catch (error) {
    process.exitCode = 1
    say(error instanceof Error ? (error.stack ?? error.message) : String(error))
    for (const name of ["cricket", "containerd"]) {
      say(spawnSync("tail", ["-n", "15", `${directory}/${name}/${name}.log`], { encoding: "utf8" }).stdout)
    }
  } finally {
    removeCgroups(cgroupParent)
    spawnSync("umount", ["-R", "-l", directory])
    rmSync(directory, { recursive: true, force: true })
  }
}
