/** Bundles of this machine's busybox for the real conmon and the real OCI runtimes. */
import { Effect } from "effect"
import { execFileSync, spawnSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { posix } from "node:path"
import type { LaunchRequest } from "../../../src/conmon/MonitoredContainer.ts"

export interface Bench {
  readonly root: string
  readonly runtime: string
  /** A bundle whose process is `args`; memory limit in bytes. */
  readonly bundle: (args: ReadonlyArray<string>, changes?: BundleChanges) => LaunchRequest
  readonly command: (request: LaunchRequest, ...args: ReadonlyArray<string>) => string
}

export interface BundleChanges extends Partial<LaunchRequest> {
  readonly memory?: number
}

export const runtimes = ["crun", "runc"].flatMap((name) => {
  const path = spawnSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8" }).stdout.trim()
  return path === "" ? [] : [{ name, path }]
})

const copyWithLibraries = (program: string, rootfs: string) => {
  const libraries = execFileSync("ldd", [program], { encoding: "utf8" }).match(/\/\S+/g) ?? []
  for (const file of [program, ...libraries]) {
    mkdirSync(posix.dirname(rootfs + file), { recursive: true })
    copyFileSync(file, rootfs + file)
  }
}

// crun refuses cgroups of which some controllers are on v2: it gets a mount namespace that does not show them.
const crunOnHybridHost = (root: string, path: string): string => {
  if (!existsSync("/sys/fs/cgroup/unified")) return path
  const wrapper = `${root}/crun-v1`
  const script = `umount /sys/fs/cgroup/unified; exec ${path} "$@"`
  writeFileSync(wrapper, `#!/bin/sh\nexec unshare -m --propagation slave sh -c '${script}' sh "$@"\n`)
  chmodSync(wrapper, 0o755)
  return wrapper
}

const makeBench = (runtime: { readonly name: string; readonly path: string }): Bench => {
  const root = mkdtempSync(`/tmp/conmon-${runtime.name}-`)
  const rootfs = `${root}/rootfs`
  copyWithLibraries("/bin/busybox", rootfs)
  for (const directory of ["proc", "dev", "tmp"]) mkdirSync(`${rootfs}/${directory}`)
  execFileSync("chroot", [rootfs, "/bin/busybox", "--install", "-s", "/bin"])
  const program = runtime.name === "crun" ? crunOnHybridHost(root, runtime.path) : runtime.path

  const bundle = (args: ReadonlyArray<string>, changes: BundleChanges = {}): LaunchRequest => {
    const { memory, ...request } = changes
    const containerId = request.containerId ?? randomBytes(32).toString("hex")
    const directory = `${root}/${containerId}`
    mkdirSync(directory)
    const config = {
      ociVersion: "1.0.2",
      process: {
        terminal: request.terminal ?? false,
        user: { uid: 0, gid: 0 },
        args,
        env: ["PATH=/bin"],
        cwd: "/",
        capabilities: { bounding: ["CAP_KILL"], effective: ["CAP_KILL"], permitted: ["CAP_KILL"] }
      },
      root: { path: rootfs, readonly: true },
      hostname: "ckt",
      mounts: [
        { destination: "/proc", type: "proc", source: "proc" },
        { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755"] },
        { destination: "/dev/pts", type: "devpts", source: "devpts", options: ["newinstance", "ptmxmode=0666"] },
        { destination: "/tmp", type: "tmpfs", source: "tmpfs" }
      ],
      linux: {
        cgroupsPath: `/ckt-conmon/${containerId}`,
        namespaces: ["pid", "mount", "ipc", "uts", "network"].map((type) => ({ type })),
        ...(memory !== undefined && { resources: { memory: { limit: memory, swap: memory } } })
      }
    }
    writeFileSync(`${directory}/config.json`, JSON.stringify(config))
    return {
      containerId,
      containerName: "k8s_test",
      bundle: directory,
      runtimePath: program,
      runtimeRoot: `${root}/runtime`,
      logPath: `${root}/logs/${containerId}/0.log`,
      exitDirectory: `${root}/exits`,
      persistDirectory: directory,
      socketDirectory: `${root}/sockets`,
      terminal: false,
      stdin: false,
      leaveStdinOpen: false,
      conmonPath: "/usr/bin/conmon",
      conmonEnv: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
      createLimitMs: 60_000,
      logLevel: "info",
      ...request
    }
  }

  const command = (request: LaunchRequest, ...args: ReadonlyArray<string>) =>
    execFileSync(request.runtimePath, ["--root", request.runtimeRoot, ...args], { encoding: "utf8", stdio: "pipe" })

  return { root, runtime: runtime.name, bundle, command }
}

/** What the caller of a monitor does besides: the runtime's state, and the cgroup that a killed runtime leaves. */
export const deleteContainer = (bench: Bench, request: LaunchRequest): void => {
  try {
    bench.command(request, "delete", "--force", request.containerId)
  } catch {
    // Never created.
  }
  removeCgroups(request.containerId)
}

// rmdir says "busy" for the moment in which a killed process still ends.
const removeCgroups = (name: string) =>
  execFileSync("sh", [
    "-c",
    `for i in 1 2 3 4 5 6 7 8 9 10; do
       left=$(find /sys/fs/cgroup -depth -type d -path '*/ckt-conmon*' -name '${name}')
       [ -z "$left" ] && exit 0; rmdir $left 2>/dev/null; sleep 0.05
     done; exit 0`
  ])

/** Removed with the scope, after which nothing of it may be left on the host. */
export const bench = (runtime: { readonly name: string; readonly path: string }) =>
  Effect.acquireRelease(
    Effect.sync(() => makeBench(runtime)),
    ({ root }) =>
      Effect.sync(() => {
        removeCgroups("ckt-conmon")
        rmSync(root, { recursive: true })
        const left = tracesOf(root)
        if (left.length > 0) throw new Error(`left behind: ${left.join("; ")}`)
      })
  )

const linesOf = (command: string) =>
  spawnSync("sh", ["-c", command], { encoding: "utf8" })
    .stdout.split("\n")
    .filter((line) => line !== "")

export const processesAndMountsOf = (root: string): ReadonlyArray<string> => [
  // What has ended and waits for the machine's init to notice is not ours any more.
  ...linesOf("ps -eo stat=,args=").filter((line) => !line.startsWith("Z") && line.includes(`${root}/`)),
  ...readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(`${root}/`))
]

const tracesOf = (root: string): ReadonlyArray<string> => [
  ...processesAndMountsOf(root),
  ...linesOf("find /sys/fs/cgroup -type d -path '*/ckt-conmon*'")
]
