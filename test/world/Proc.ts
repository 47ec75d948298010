/** /proc of the simulated kernel: what the daemon and its programs read of processes and the host. */
import {
  DiskDirectory,
  DynamicDirectory,
  DynamicFile,
  MagicLink,
  SymlinkNode,
  type Directory,
  type FileSystem,
  type Node
} from "./Node.ts"
import { namespaceKinds, type NamespaceKind } from "./NamespaceTable.ts"
import type { Process } from "./ProcessTable.ts"
import type { World } from "./World.ts"

const statLine = (process: Process): string =>
  `${process.pid} (${process.command}) ${process.state} ${process.parent?.pid ?? 0} ${process.session} ${process.session} 0 -1 4194304 0 0 0 0 2 1 0 0 20 0 1 0 ${process.startTime} 4194304 256 18446744073709551615${" 0".repeat(27)}\n`

type Handler = Process["handlers"] extends ReadonlyMap<number, infer H> ? H : never

const signalMask = (process: Process, wanted: (handler: Handler) => boolean): string =>
  [...process.handlers]
    .reduce((mask, [signal, handler]) => (wanted(handler) ? mask | (1n << BigInt(signal - 1)) : mask), 0n)
    .toString(16)
    .padStart(16, "0")

const statusText = (world: World, process: Process): string => {
  const capabilities = world.options.capabilities.toString(16).padStart(16, "0")
  return [
    `Name:\t${process.command}`,
    "Umask:\t0022",
    `State:\t${process.state}`,
    `Tgid:\t${process.pid}`,
    `Pid:\t${process.pid}`,
    `PPid:\t${process.parent?.pid ?? 0}`,
    "Uid:\t0\t0\t0\t0",
    "Gid:\t0\t0\t0\t0",
    `NSpid:\t${process.pid}${process.namespaceInit ? "\t1" : ""}`,
    "VmRSS:\t1024 kB",
    "SigBlk:\t0000000000000000",
    `SigIgn:\t${signalMask(process, (handler) => handler === "ignore")}`,
    `SigCgt:\t${signalMask(process, (handler) => handler !== "ignore")}`,
    "CapInh:\t0000000000000000",
    `CapPrm:\t${capabilities}`,
    `CapEff:\t${capabilities}`,
    `CapBnd:\t${capabilities}`,
    "CapAmb:\t0000000000000000",
    "Seccomp:\t0",
    ""
  ].join("\n")
}

const cgroupText = (process: Process): string =>
  [...process.cgroups]
    .map(([hierarchy, cgroup], index) =>
      hierarchy === "v2"
        ? `0::${cgroup.path}\n`
        : `${index + 1}:${hierarchy === "systemd" ? "name=systemd" : hierarchy}:${cgroup.path}\n`
    )
    .join("")

const escape = (text: string): string =>
  text.replace(/[\\ \t\n]/g, (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, "0")}`)

export const mountinfo = (world: World): string =>
  world.vfs.table
    .entries()
    .map((mount, index) =>
      [
        mount.id,
        mount.parent,
        `0:${index + 20}`,
        escape(mount.root),
        escape(mount.target),
        mount.options.join(","),
        ...mount.propagation,
        "-",
        mount.type,
        escape(mount.source),
        `${mount.superOptions.join(",")}\n`
      ].join(" ")
    )
    .join("")

/** Standard streams that are no pipes are open too. */
const descriptors = (process: Process): Array<string> => [...new Set([0, 1, 2, ...process.fds.keys()])].map(String)

const processDirectory = (world: World, fs: FileSystem, process: Process): Directory => {
  const file = (get: () => string, set?: (value: string) => void): Node => new DynamicFile(fs, get, set)
  const files: Record<string, () => Node> = {
    stat: () => file(() => statLine(process)),
    status: () => file(() => statusText(world, process)),
    cmdline: () => file(() => [process.path, ...process.args].map((word) => `${word}\0`).join("")),
    comm: () => file(() => `${process.command}\n`),
    cgroup: () => file(() => cgroupText(process)),
    mountinfo: () => file(() => mountinfo(world)),
    mounts: () =>
      file(() =>
        world.vfs.table
          .entries()
          .map((m) => `${m.source} ${m.target} ${m.type} rw 0 0\n`)
          .join("")
      ),
    environ: () =>
      file(() =>
        Object.entries(process.env)
          .map(([key, value]) => `${key}=${value}\0`)
          .join("")
      ),
    oom_score_adj: () =>
      file(
        () => `${process.oomScoreAdj}\n`,
        (value) => {
          process.oomScoreAdj = Number(value.trim())
        }
      ),
    uid_map: () => file(() => "         0          0 4294967295\n"),
    gid_map: () => file(() => "         0          0 4294967295\n"),
    ns: () =>
      new DynamicDirectory(
        fs,
        (name) => {
          const node = process.namespaces.get(name as NamespaceKind)
          return (
            node &&
            new MagicLink(
              fs,
              () => `${name}:[${node.inode}]`,
              () => node
            )
          )
        },
        () => namespaceKinds.filter((kind) => process.namespaces.has(kind))
      ),
    limits: () =>
      file(
        () =>
          "Limit                     Soft Limit           Hard Limit           Units     \nMax cpu time              unlimited            unlimited            seconds   \nMax open files            1024                 524288               files     \n"
      ),
    fd: () =>
      new DynamicDirectory(
        fs,
        (name) => (descriptors(process).includes(name) ? new SymlinkNode(fs, `pipe:[${name}]`) : undefined),
        () => descriptors(process)
      ),
    root: () =>
      new MagicLink(
        fs,
        () => "/",
        () => world.vfs.paths.root.node
      ),
    exe: () => new SymlinkNode(fs, process.path),
    cwd: () => new SymlinkNode(fs, process.cwd)
  }
  return new DynamicDirectory(
    fs,
    (name) => (Object.hasOwn(files, name) ? files[name]?.() : undefined),
    () => Object.keys(files)
  )
}

const sysctl = (world: World, fs: FileSystem, key: string, initial: string): Node =>
  new DynamicFile(
    fs,
    () => `${world.hostSysctl("net").get(key) ?? initial}\n`,
    (value) => world.hostSysctl("net").set(key, value.trim())
  )

/** Builds a tree of dynamic files from slash-separated names. */
export const tree = (fs: FileSystem, files: Readonly<Record<string, Node>>): DiskDirectory => {
  const root = new DiskDirectory(fs, 0o555)
  for (const [path, node] of Object.entries(files)) {
    const names = path.split("/")
    const last = names.pop() as string
    let at = root
    for (const name of names) {
      const next = at.get(name) ?? new DiskDirectory(fs, 0o555)
      at.put(name, next)
      at = next as DiskDirectory
    }
    at.put(last, node)
  }
  return root
}

export const procRoot = (world: World, fs: FileSystem): Directory => {
  const text = (get: () => string): Node => new DynamicFile(fs, get)
  const uptime = () => ((world.engine.nowUs - world.bootUs) / 1e6).toFixed(2)
  const fixed = tree(fs, {
    "sys/kernel/random/boot_id": text(() => `${world.bootId}\n`),
    "sys/kernel/hostname": text(() => `${world.namespaces.hostnames.get(world.hostNamespace("uts")) ?? "node"}\n`),
    "sys/kernel/osrelease": text(() => "6.12.0-sim\n"),
    "sys/kernel/pid_max": text(() => `${world.options.pidMax}\n`),
    "sys/kernel/cap_last_cap": text(() => "40\n"),
    "sys/kernel/threads-max": text(() => "100000\n"),
    "sys/kernel/seccomp/actions_avail": text(() => "kill_process kill_thread trap errno user_notif trace log allow\n"),
    "sys/user/max_user_namespaces": text(() => "10000\n"),
    "sys/fs/file-max": text(() => "1000000\n"),
    "sys/net/ipv4/ip_forward": sysctl(world, fs, "net/ipv4/ip_forward", "0"),
    "sys/net/ipv4/conf/all/route_localnet": sysctl(world, fs, "net/ipv4/conf/all/route_localnet", "0"),
    "sys/net/bridge/bridge-nf-call-iptables": sysctl(world, fs, "net/bridge/bridge-nf-call-iptables", "1"),
    meminfo: text(
      () =>
        "MemTotal:       16384000 kB\nMemFree:        8192000 kB\nMemAvailable:   12288000 kB\nBuffers:          100000 kB\nCached:          2000000 kB\nSwapTotal:             0 kB\nSwapFree:              0 kB\nHugepagesize:       2048 kB\n"
    ),
    uptime: text(() => `${uptime()} ${uptime()}\n`),
    stat: text(
      () =>
        `cpu  100 0 100 10000 0 0 0 0 0 0\ncpu0 50 0 50 5000 0 0 0 0 0 0\ncpu1 50 0 50 5000 0 0 0 0 0 0\nbtime ${Math.floor(world.bootUs / 1e6)}\nprocesses 1000\n`
    ),
    loadavg: text(() => "0.10 0.10 0.10 1/100 1000\n"),
    cpuinfo: text(() => "processor\t: 0\nmodel name\t: Simulated\n\nprocessor\t: 1\nmodel name\t: Simulated\n\n"),
    filesystems: text(
      () =>
        "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tcgroup\nnodev\tcgroup2\nnodev\tmqueue\nnodev\toverlay\n\text4\n"
    ),
    cgroups: text(
      () =>
        "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpuset\t0\t1\t1\ncpu\t0\t1\t1\nmemory\t0\t1\t1\npids\t0\t1\t1\n"
    ),
    version: text(() => "Linux version 6.12.0-sim\n"),
    mounts: new SymlinkNode(fs, "self/mounts"),
    self: new MagicSelf(fs, () => String(world.selfPid))
  })
  const lookup = (name: string): Node | undefined => {
    if (!/^[1-9][0-9]*$/.test(name)) return fixed.get(name)
    const process = world.processes.all.get(Number(name))
    return process === undefined ? undefined : processDirectory(world, fs, process)
  }
  return new DynamicDirectory(fs, lookup, () => [...fixed.names(), ...[...world.processes.all.keys()].map(String)])
}

/** /proc/self: a link whose target is whoever reads it; here always the daemon. */
class MagicSelf extends SymlinkNode {
  private readonly pid: () => string
  constructor(fs: FileSystem, pid: () => string) {
    super(fs, "")
    this.pid = pid
  }
  override get target(): string {
    return this.pid()
  }
}
