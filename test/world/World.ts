/**
 * A simulated host: disk and memory file systems, mounts, namespaces, processes, cgroups, network, locks. It knows
 * nothing of Effect services; `layers.ts` shows it to the daemon through the seam.
 */
import { Effect } from "effect"
import { Calls, type FaultActions } from "./Calls.ts"
import { Cgroup, v1Hierarchies } from "./Cgroups.ts"
import { Engine } from "./Engine.ts"
import { Errno } from "./Errno.ts"
import { LockTable } from "./LockTable.ts"
import {
  DeviceNode,
  Directory,
  DiskDirectory,
  FileNode,
  losePower,
  makeDurable,
  survivors,
  type FileSystem,
  type Loss,
  type NamespaceNode
} from "./Node.ts"
import { NamespaceTable, type NamespaceKind } from "./NamespaceTable.ts"
import { procRoot, tree } from "./Proc.ts"
import type { Registry } from "./Registry.ts"
import { exitStatus, Task, type Program } from "./Program.ts"
import { ProcessTable, type Process, type ProcessOptions } from "./ProcessTable.ts"
import { Vfs } from "./Vfs.ts"
import type { Listener } from "./Wire.ts"

export interface WorldOptions {
  /** Order of tasks; without it they run in the order in which they came. */
  readonly seed?: number
  readonly cgroups: "v1" | "v2"
  /** Of the daemon: the mask in /proc/self/status. */
  readonly capabilities: bigint
  readonly pidMax: number
}

const defaults: WorldOptions = { cgroups: "v2", capabilities: 0x1ffffffffffn, pidMax: 32_768 }

/** What a call through the seam costs, microseconds. */
const callCostUs = 10

/** One life of the daemon: from its start to its end or crash. */
export interface Life {
  readonly number: number
  readonly process: Process
  readonly dead: () => boolean
}

const skeleton = [
  "dev",
  "etc",
  "home",
  "mnt",
  "opt/cni/bin",
  "proc",
  "root",
  "run",
  "sys",
  "tmp",
  "usr/bin",
  "usr/sbin",
  "usr/lib/cni",
  "usr/local/bin",
  "usr/libexec",
  "var/cache",
  "var/lib",
  "var/log/pods",
  "var/tmp"
]
const links = { bin: "usr/bin", sbin: "usr/sbin", lib: "usr/lib", "var/run": "/run" }

export class World {
  readonly options: WorldOptions
  readonly engine: Engine
  readonly calls: Calls
  readonly disk: DiskDirectory
  readonly locks = new LockTable()
  readonly programs = new Map<string, Program>()
  /** Who listens in which network namespace, by "address:port". */
  readonly listeners = new WeakMap<NamespaceNode, Map<string, Listener>>()
  /** Registries by host name with port, as URLs have it. */
  readonly registries = new Map<string, Registry>()
  /** Processes that the memory limit of their cgroup ended. */
  readonly oomKilled = new WeakSet<Process>()
  /** iptables rules: "table chain specification". Gone after a reboot. */
  readonly rules = new Set<string>()
  vfs!: Vfs
  processes!: ProcessTable
  namespaces!: NamespaceTable
  cgroupRoots = new Map<string, Cgroup>()
  bootId = ""
  bootUs = 0
  /** How often the machine was started. */
  boots = 0
  /** The daemon's process id: what /proc/self means. */
  selfPid = 1
  /** Filled in by the driver: what "cancel" and "terminate" do. */
  hooks: Pick<FaultActions, "cancel" | "terminate"> = { cancel: () => {}, terminate: () => {} }
  private readonly diskFs: FileSystem
  private devices = 0
  private seeds: number
  private life: Life | undefined
  private lives = 0

  constructor(options: Partial<WorldOptions> = {}) {
    this.options = { ...defaults, ...options }
    this.seeds = this.options.seed ?? 1
    this.engine = new Engine(this.options.seed === undefined ? {} : { seed: this.options.seed })
    this.calls = new Calls(
      {
        cancel: () => this.hooks.cancel(),
        terminate: () => this.hooks.terminate(),
        crash: () => this.crash(),
        power: (loss) => this.losePower(loss)
      },
      () => {
        this.engine.nowUs += callCostUs
        return `${this.engine.nowUs - this.bootUs}us`
      },
      {
        turns: () => this.engine.turns,
        survivors: (loss) => survivors(this.disk, loss)
      }
    )
    this.diskFs = this.fileSystem("ext4", false)
    this.disk = new DiskDirectory(this.diskFs, 0o755)
    this.boot()
    for (const path of skeleton) this.vfs.makeDirectories(`/${path}`)
    for (const [path, target] of Object.entries(links)) this.vfs.symlink(target, `/${path}`)
    this.mountKernelFileSystems()
    this.settle()
  }

  /** Everything on disk is durable now: the end of a set-up. */
  settle(): void {
    makeDurable(this.disk)
  }

  // Programs and processes

  /** Puts a program at a path. The same program can stand at several. */
  install(path: string, name: string, program: Program): void {
    this.programs.set(name, program)
    this.vfs.makeDirectories(path.slice(0, path.lastIndexOf("/")))
    this.vfs.write(path, `#!simulated ${name}\n`, 0o755)
    this.vfs.chmod(path, 0o755)
  }

  /** Starts a process from a path; refuses as execve(2) does. */
  exec(options: ProcessOptions): Process {
    const program = this.programAt(options.path)
    const process = this.processes.create(options)
    this.runProgram(process, program)
    return process
  }

  programAt(path: string): Program {
    const { node } = this.vfs.paths.find(path, { follow: true })
    if (!(node instanceof FileNode) || (node.mode & 0o111) === 0) throw new Errno("EACCES")
    const name = /^#!simulated (\S+)\n/.exec(Buffer.from(node.data.subarray(0, 200)).toString())?.[1]
    const program = name === undefined ? undefined : this.programs.get(name)
    if (program === undefined) throw new Errno("ENOEXEC")
    return program
  }

  runProgram(process: Process, program: Program): void {
    const task = new Task(this, process)
    this.processes.run(
      process,
      Effect.suspend(() => exitStatus(task, program))
    )
  }

  // Lives of the daemon

  startLife(): Life {
    const process = this.processes.create({
      path: "/usr/bin/cricket",
      args: [],
      env: {},
      cwd: "/",
      fds: new Map(),
      parent: this.processes.init,
      newSession: true
    })
    this.selfPid = process.pid
    this.engine.daemon = process.owner
    this.life = { number: ++this.lives, process, dead: () => process.owner.dead }
    this.calls.note(`-- life ${this.lives} pid ${process.pid} boot ${this.boots}`)
    return this.life
  }

  /** The daemon is gone between two instructions: nothing it wanted to do any more is done. */
  crash(): void {
    const { life } = this
    if (life === undefined || life.dead()) return
    this.processes.signal(life.process, 9)
    this.locks.releaseAll(life)
  }

  /** Power goes and comes back: memory is lost, of the disk only what was made durable remains. */
  losePower(loss: Loss): void {
    for (const process of this.processes.all.values()) process.owner.dead = true
    this.locks.clear()
    losePower(this.disk, loss)
    this.boot()
    this.mountKernelFileSystems()
  }

  // Namespaces

  hostNamespace(kind: NamespaceKind): NamespaceNode {
    return this.namespaces.host.get(kind) as NamespaceNode
  }

  hostSysctl(kind: NamespaceKind): Map<string, string> {
    return this.sysctlsOf(this.hostNamespace(kind))
  }

  sysctlsOf(namespace: NamespaceNode): Map<string, string> {
    const known = this.namespaces.sysctls.get(namespace) ?? new Map<string, string>()
    this.namespaces.sysctls.set(namespace, known)
    return known
  }

  /** Ends namespaces that neither a pin nor a process holds. Called whenever one of those goes. */
  collectNamespaces(): void {
    const used = new Set<NamespaceNode>()
    for (const mount of this.vfs.paths.mounts) {
      if (this.namespaces.alive.has(mount.root as NamespaceNode)) used.add(mount.root as NamespaceNode)
    }
    for (const process of this.processes.all.values()) for (const node of process.namespaces.values()) used.add(node)
    for (const [node, life] of this.namespaces.entered) {
      if (life.dead()) this.namespaces.entered.delete(node)
      else used.add(node)
    }
    this.namespaces.collect(used)
  }

  nextSeed(): number {
    return (this.seeds = (Math.imul(this.seeds, 1_103_515_245) + 12_345) | 0)
  }

  // Boot

  private boot(): void {
    this.boots++
    this.bootUs = this.engine.nowUs
    this.bootId = `00000000-0000-4000-8000-${this.boots.toString(16).padStart(12, "0")}`
    this.rules.clear()
    this.vfs = new Vfs((type) => this.makeFileSystem(type))
    this.vfs.paths.add({
      parent: undefined,
      covers: undefined,
      root: this.disk,
      rootPath: "/",
      target: "/",
      fs: this.diskFs,
      source: "/dev/vda",
      superOptions: ["rw"],
      options: ["rw", "relatime"],
      propagation: ["shared:1"]
    })
    this.namespaces = new NamespaceTable({ ...this.fileSystem("nsfs", true), nextInode: 4_026_531_840 })
    this.processes = new ProcessTable(this.engine, {
      seed: () => this.nextSeed(),
      pidMax: this.options.pidMax,
      onEnd: () => this.collectNamespaces()
    })
    for (const [kind, node] of this.namespaces.host) this.processes.init.namespaces.set(kind, node)
    const hierarchies = this.options.cgroups === "v2" ? ["v2"] : v1Hierarchies
    this.cgroupRoots = new Map(
      hierarchies.map((name) => {
        const fs = this.fileSystem(name === "v2" ? "cgroup2" : "cgroup", true)
        return [name, new Cgroup(fs, name, () => this.processes)]
      })
    )
    for (const root of this.cgroupRoots.values()) root.move(this.processes.init)
  }

  private mountKernelFileSystems(): void {
    const { vfs } = this
    const mount = (type: string, target: string) => vfs.table.mount({ source: type, target, type, flags: [], data: "" })
    mount("proc", "/proc")
    mount("sysfs", "/sys")
    mount("tmpfs", "/run")
    mount("tmpfs", "/tmp")
    mount("tmpfs", "/dev")
    vfs.chmod("/tmp", 0o1777)
    const v2 = this.cgroupRoots.get("v2")
    if (v2 !== undefined) this.mountRoot("/sys/fs/cgroup", v2)
    else {
      mount("tmpfs", "/sys/fs/cgroup")
      for (const [name, root] of this.cgroupRoots) {
        vfs.makeDirectory(`/sys/fs/cgroup/${name}`)
        this.mountRoot(`/sys/fs/cgroup/${name}`, root)
      }
      for (const name of ["cpu", "cpuacct"]) vfs.symlink("cpu,cpuacct", `/sys/fs/cgroup/${name}`)
    }
    for (const [name, major, minor] of devices) {
      vfs.place(
        `/dev/${name}`,
        (directory) => new DeviceNode(directory.home(), "character", 0o666, major * 256 + minor)
      )
    }
    for (const name of ["pts", "shm", "mqueue"]) vfs.makeDirectory(`/dev/${name}`)
    vfs.makeDirectories("/run/lock")
  }

  private mountRoot(target: string, root: Cgroup): void {
    const { fs } = root
    const at = this.vfs.paths.find(target, { follow: true })
    const superOptions =
      root.hierarchy === "v2" ? ["rw"] : ["rw", root.hierarchy === "systemd" ? "name=systemd" : root.hierarchy]
    this.vfs.paths.add({
      parent: at.mount,
      covers: at.node,
      root,
      rootPath: "/",
      target,
      fs,
      source: fs.type,
      superOptions,
      options: ["rw", "relatime"],
      propagation: ["shared:1"]
    })
  }

  private makeFileSystem(type: string): { fs: FileSystem; root: Directory } | undefined {
    if (!["tmpfs", "proc", "sysfs", "mqueue", "devpts", "overlay", "cgroup2"].includes(type)) return undefined
    const fs = this.fileSystem(type, true)
    if (type === "proc") return { fs, root: procRoot(this, fs) }
    if (type === "sysfs") return { fs, root: sysRoot(fs) }
    if (type === "cgroup2") {
      const root = this.cgroupRoots.get("v2")
      return root && { fs: root.fs, root }
    }
    return { fs, root: new DiskDirectory(fs, type === "tmpfs" ? 0o755 : 0o1777) }
  }

  private fileSystem(type: string, volatile: boolean): FileSystem {
    return { device: 0x30 + this.devices++, type, volatile, nextInode: 2, nowMs: () => this.engine.nowMs }
  }
}

const devices = [
  ["null", 1, 3],
  ["zero", 1, 5],
  ["full", 1, 7],
  ["random", 1, 8],
  ["urandom", 1, 9],
  ["tty", 5, 0],
  ["fuse", 10, 229]
] as const

const sysRoot = (fs: FileSystem): DiskDirectory => {
  const root = tree(fs, {
    "kernel/security/lsm": plainFile(fs, "capability,landlock\n"),
    "devices/system/cpu/online": plainFile(fs, "0-1\n"),
    "devices/system/node/online": plainFile(fs, "0\n"),
    "kernel/mm/hugepages/hugepages-2048kB/nr_hugepages": plainFile(fs, "0\n")
  })
  const directories = ["fs", "fs/cgroup", "fs/bpf", "class", "class/net", "module"]
  for (const path of directories) {
    const names = path.split("/")
    const last = names.pop() as string
    let at: Directory = root
    for (const name of names) at = at.get(name) as Directory
    at.put(last, new DiskDirectory(fs, 0o755))
  }
  return root
}

const plainFile = (fs: FileSystem, text: string): FileNode => {
  const node = new FileNode(fs, 0o444)
  node.data = Buffer.from(text)
  return node
}
