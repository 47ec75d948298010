/**
 * Profiles for the property harness on this machine: Cricket with crun or runc, and Debian's containerd, each in
 * namespaces of its own, with a registry on loopback that serves images made of this machine's busybox.
 */
import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { writeBusyboxRootfs, writeFileIn } from "./busyboxImage.ts"
import { containerdConfiguration } from "./containerd.ts"
import { writeLayout } from "./imageLayout.ts"

const top = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "")

/** In the target's own network namespace no other registry is there. */
const registryPort = 25_500
const registry = `127.0.0.1:${registryPort}`
const images = { main: `${registry}/busybox:1`, spare: `${registry}/spare:1` }
/** Runs until it is killed: for runtimes that keep a process in each pod. */
const pauseImage = `${registry}/pause:1`
const programs = { busybox: ["sh"], spare: ["sh"], pause: ["sleep", "100000"] }

const registryConfig = (data: string, port: number) => `version: 0.1
log: { level: warn, accesslog: { disabled: true } }
storage: { filesystem: { rootdirectory: ${data} } }
http: { addr: "127.0.0.1:${port}", secret: harness }
`

const answers = (port: number): Promise<boolean> =>
  fetch(`http://127.0.0.1:${port}/v2/`).then(
    () => true,
    () => false
  )

const makeImage = (directory: string, name: string, command: ReadonlyArray<string>): void => {
  const rootfs = `${directory}.rootfs`
  mkdirSync(rootfs, { mode: 0o755 })
  writeBusyboxRootfs(rootfs)
  writeFileIn(rootfs, "/etc/image", `${name}\n`)
  const layout = writeLayout(directory)
  const config = { Env: ["PATH=/bin"], Cmd: command, WorkingDir: "/" }
  layout.addImage({ name: `${name}:1`, layers: [layout.addLayer(rootfs)], config })
  rmSync(rootfs, { recursive: true, force: true })
}

/** Fills a registry's directory with images of this machine's busybox. */
const fillRegistry = async (directory: string, port: number): Promise<void> => {
  const unfinished = `${directory}/registry.${process.pid}`
  rmSync(unfinished, { recursive: true, force: true })
  mkdirSync(unfinished, { recursive: true })
  writeFileSync(`${unfinished}.yml`, registryConfig(unfinished, port))
  const child = spawn("docker-registry", ["serve", `${unfinished}.yml`], { stdio: "ignore" })
  const exit = once(child, "exit")
  try {
    for (let tries = 0; !(await answers(port)); tries++) {
      if (tries === 100 || child.exitCode !== null) throw new Error("docker-registry does not answer")
      await sleep(50)
    }
    for (const [name, command] of Object.entries(programs)) {
      const layout = `${unfinished}.layout`
      makeImage(layout, name, command)
      const options = ["-q", "--insecure-policy", "--dest-tls-verify=false", "--preserve-digests"]
      execFileSync("skopeo", ["copy", ...options, `oci:${layout}`, `docker://127.0.0.1:${port}/${name}:1`])
      rmSync(layout, { recursive: true, force: true })
    }
  } finally {
    child.kill("SIGKILL")
    await exit
    rmSync(`${unfinished}.yml`, { force: true })
  }
  renameSync(unfinished, `${directory}/registry`)
}

const network = {
  cniVersion: "1.0.0",
  name: "pods",
  plugins: [
    {
      type: "bridge",
      bridge: "cni0",
      isGateway: true,
      ipMasq: false,
      hairpinMode: true,
      ipam: {
        type: "host-local",
        dataDir: "${dir}/leases",
        ranges: [[{ subnet: "10.214.0.0/20" }]],
        routes: [{ dst: "0.0.0.0/0" }]
      }
    },
    { type: "portmap", capabilities: { portMappings: true } }
  ]
}

/** crun refuses hosts that mount cgroup v1 and v2 side by side; where only v2 is mounted nothing is to be done. */
const withoutUnified =
  "if [ ! -e /sys/fs/cgroup/cgroup.controllers ] && [ -d /sys/fs/cgroup/unified ]; then umount /sys/fs/cgroup/unified; mount -t tmpfs none /sys/fs/cgroup/unified; fi"

const common = (directory: string) => ({
  namespaces: "private",
  imageEndpoint: undefined,
  services: [["docker-registry", "serve", "${dir}/registry.yml"]],
  images,
  logDirectory: "${dir}/logs",
  registryYml: registryConfig(`${directory}/registry`, registryPort)
})

const registriesConf = `[[registry]]\nlocation = "${registry}"\ninsecure = true\n`

/** Of every Cricket that is started here, whatever its paths are. */
const commonSettings = (runtime: string) => `[crio]
version_file = "\${dir}/version"
clean_shutdown_file = "\${dir}/clean.shutdown"
[crio.image]
pause_image = "${pauseImage}"
pause_command = "/bin/sleep 100000"
[crio.runtime]
default_runtime = "${runtime}"
cgroup_manager = "cgroupfs"
enable_pod_events = true
[crio.network]
network_dir = "\${dir}/cni"
plugin_dirs = ["/usr/lib/cni"]
`

const startCricket = [
  `${top}/bin/cricket`,
  "--config",
  "${dir}/crio.conf",
  "--config-dir",
  "${dir}/crio.conf.d",
  "--registries-conf",
  "${dir}/registries.conf"
]

const cricketProfile = (directory: string, runtime: string) => {
  const { registryYml, ...shared } = common(directory)
  return {
    extends: "cricket",
    ...shared,
    name: `cricket-${runtime}`,
    endpoint: "unix://${dir}/cricket.sock",
    setup: withoutUnified,
    cgroupParent: `/cricket-harness-${runtime}`,
    files: {
      "${dir}/registry.yml": registryYml,
      "${dir}/cni/10-pods.conflist": JSON.stringify(network),
      "${dir}/registries.conf": registriesConf,
      "${dir}/crio.conf": `[crio]
root = "\${dir}/root"
runroot = "\${dir}/run"
log_dir = "\${dir}/logs"
[crio.api]
listen = "\${dir}/cricket.sock"
[crio.runtime]
namespaces_dir = "\${dir}/run"
container_exits_dir = "\${dir}/run/exits"
container_attach_socket_dir = "\${dir}/run/attach"
[crio.runtime.runtimes.crun]
runtime_root = "\${dir}/run/crun"
monitor_cgroup = ""
[crio.runtime.runtimes.runc]
runtime_root = "\${dir}/run/runc"
monitor_cgroup = "pod"
monitor_exec_cgroup = "container"
`,
      "${dir}/crio.conf.d/common.conf": commonSettings(runtime)
    },
    start: startCricket,
    paths: ["${dir}/root", "${dir}/run", "${dir}/leases", "/var/lib/cni"]
  }
}

/** CRI-O's own profile and default paths: Cricket takes its place without a word of configuration about them. */
const crioProfile = (directory: string, runtime: string) => {
  const { registryYml, ...shared } = common(directory)
  return {
    extends: "crio",
    ...shared,
    name: "crio",
    setup: withoutUnified,
    cgroupParent: "/cricket-harness-crio",
    // One of its own for each start of the daemon.
    lasting: ["(\\.lock|/lock)$", "last_reserved_ip\\.\\d+$", "/cricket-staging/[0-9a-f]+$", "/exec/exec-[0-9a-f]+$"],
    privateDirectories: [
      "/run/netns",
      "/run/ipcns",
      "/run/utsns",
      "/run/userns",
      "/var/lib/cni",
      "/run/crio",
      "/run/containers",
      "/var/lib/containers"
    ],
    files: {
      "${dir}/registry.yml": registryYml,
      "${dir}/cni/10-pods.conflist": JSON.stringify(network),
      "${dir}/registries.conf": registriesConf,
      "${dir}/crio.conf": "",
      "${dir}/crio.conf.d/common.conf": commonSettings(runtime)
    },
    start: startCricket
  }
}

const containerdProfile = (directory: string, runtime: string) => {
  const { registryYml, ...shared } = common(directory)
  return {
    extends: "containerd",
    ...shared,
    name: "containerd",
    endpoint: "unix://${dir}/containerd.sock",
    cgroupParent: "/cricket-harness-containerd",
    privateDirectories: ["/run/netns", "/run/containerd", "/var/lib/cni"],
    files: {
      "${dir}/registry.yml": registryYml,
      "${dir}/cni/10-pods.conflist": JSON.stringify(network),
      "${dir}/config.toml": containerdConfiguration({
        root: "${dir}/root",
        state: "${dir}/run",
        socket: "${dir}/containerd.sock",
        networks: "${dir}/cni",
        pauseImage,
        runtime
      })
    },
    start: ["/usr/bin/containerd", "--config", "${dir}/config.toml"],
    paths: [
      "${dir}/root/io.containerd.grpc.v1.cri",
      "${dir}/run/io.containerd.grpc.v1.cri",
      "${dir}/run/io.containerd.runtime.v2.task",
      "${dir}/leases",
      "/var/lib/cni",
      "/run/containerd"
    ]
  }
}

/** Cricket with one runtime or the other, containerd, and Cricket where CRI-O is expected. */
export const harnessTargets = ["crun", "runc", "containerd", "crio"] as const
export type HarnessTarget = (typeof harnessTargets)[number]

/** Answers the profile's path. `port` is for a registry that is filled and ended, on this network namespace's loopback. */
export const prepareHarness = async (directory: string, target: HarnessTarget, port = 25_501): Promise<string> => {
  mkdirSync(directory, { recursive: true })
  if (!existsSync(`${directory}/registry`)) await fillRegistry(directory, port)
  const profiles = {
    crun: () => cricketProfile(directory, "crun"),
    runc: () => cricketProfile(directory, "runc"),
    containerd: () => containerdProfile(directory, "runc"),
    crio: () => crioProfile(directory, "crun")
  }
  const profile = profiles[target]()
  const path = `${directory}/${target}.json`
  writeFileSync(path, `${JSON.stringify(profile, null, 2)}\n`)
  return path
}

/** For a test that wants to change it. */
export const readProfile = (path: string): Record<string, unknown> => JSON.parse(readFileSync(path, "utf8"))
