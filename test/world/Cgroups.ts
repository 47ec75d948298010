/** cgroup v1 and v2 hierarchies of the simulated kernel, as directories with control files. */
import { Errno } from "./Errno.ts"
import { DynamicFile, SelfMakingDirectory, type Directory, type FileSystem, type Node } from "./Node.ts"
import type { Process, ProcessTable } from "./ProcessTable.ts"

const unlimitedV1 = "9223372036854771712\n"
const cpuStat = "usage_usec 1000\nuser_usec 600\nsystem_usec 400\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n"
const memoryStatV2 =
  "anon 4096\nfile 8192\nkernel 1024\ninactive_file 4096\nactive_file 4096\npgfault 10\npgmajfault 0\n"
const memoryStatV1 =
  "cache 8192\nrss 4096\ntotal_rss 4096\ntotal_inactive_file 4096\ntotal_pgfault 10\ntotal_pgmajfault 0\n"

/** Control files that only hold a value, by controller. */
const plain: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  v2: {
    "cgroup.controllers": "cpuset cpu io memory hugetlb pids\n",
    "cgroup.type": "domain\n",
    "cgroup.max.depth": "max\n",
    "cgroup.max.descendants": "max\n",
    "memory.current": "16384\n",
    "memory.peak": "32768\n",
    "memory.max": "max\n",
    "memory.high": "max\n",
    "memory.low": "0\n",
    "memory.min": "0\n",
    "memory.swap.max": "max\n",
    "memory.swap.current": "0\n",
    "memory.oom.group": "0\n",
    "memory.stat": memoryStatV2,
    "memory.events": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n",
    "cpu.max": "max 100000\n",
    "cpu.weight": "100\n",
    "cpu.stat": cpuStat,
    "cpu.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    "memory.pressure":
      "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    "io.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    "cpuset.cpus": "\n",
    "cpuset.cpus.effective": "0-1\n",
    "cpuset.mems": "\n",
    "cpuset.mems.effective": "0\n",
    "pids.max": "max\n",
    "io.stat": "\n",
    "io.max": "\n",
    "hugetlb.2MB.current": "0\n",
    "hugetlb.2MB.max": "max\n"
  },
  memory: {
    "memory.usage_in_bytes": "16384\n",
    "memory.max_usage_in_bytes": "32768\n",
    "memory.limit_in_bytes": unlimitedV1,
    "memory.soft_limit_in_bytes": unlimitedV1,
    "memory.memsw.limit_in_bytes": unlimitedV1,
    "memory.memsw.usage_in_bytes": "16384\n",
    "memory.failcnt": "0\n",
    "memory.kmem.usage_in_bytes": "1024\n",
    "memory.use_hierarchy": "1\n",
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n",
    "memory.stat": memoryStatV1
  },
  "cpu,cpuacct": {
    "cpu.shares": "1024\n",
    "cpu.cfs_quota_us": "-1\n",
    "cpu.cfs_period_us": "100000\n",
    "cpu.stat": "nr_periods 0\nnr_throttled 0\nthrottled_time 0\n",
    "cpuacct.stat": "user 0\nsystem 0\n",
    "cpuacct.usage": "1000000\n"
  },
  cpuset: { "cpuset.cpus": "0-1\n", "cpuset.mems": "0\n" },
  pids: { "pids.max": "max\n" },
  freezer: { "freezer.state": "THAWED\n" },
  devices: { "devices.allow": "", "devices.deny": "", "devices.list": "a *:* rwm\n" },
  blkio: { "blkio.weight": "500\n", "blkio.throttle.io_service_bytes_recursive": "Total 0\n" },
  hugetlb: {},
  systemd: {}
}

export const v1Hierarchies = ["memory", "cpu,cpuacct", "cpuset", "pids", "freezer", "devices", "blkio", "systemd"]

export class Cgroup extends SelfMakingDirectory {
  readonly hierarchy: string
  readonly above: Cgroup | undefined
  readonly name: string
  readonly processes = new Set<Process>()
  readonly children = new Map<string, Cgroup>()
  readonly values = new Map<string, string>()
  private readonly files = new Map<string, DynamicFile>()
  private readonly table: () => ProcessTable

  constructor(fs: FileSystem, hierarchy: string, table: () => ProcessTable, above?: Cgroup, name = "") {
    super(fs, 0o755)
    this.hierarchy = hierarchy
    this.table = table
    this.above = above
    this.name = name
  }

  /** Path from the hierarchy's root, "/" for the root itself. */
  get path(): string {
    if (this.above === undefined) return "/"
    return `${this.above.path === "/" ? "" : this.above.path}/${this.name}`
  }

  get(name: string): Node | undefined {
    const child = this.children.get(name)
    if (child !== undefined) return child
    const known = this.files.get(name)
    if (known !== undefined) return known
    const file = this.control(name)
    if (file !== undefined) this.files.set(name, file)
    return file
  }

  names(): Array<string> {
    return [...this.children.keys(), ...this.controlNames()]
  }

  make(name: string): Directory {
    const child = new Cgroup(this.fs, this.hierarchy, this.table, this, name)
    this.children.set(name, child)
    return child
  }

  remove(name: string): void {
    const child = this.children.get(name)
    if (child === undefined) throw new Errno("ENOENT")
    if (child.processes.size > 0 || child.children.size > 0) throw new Errno("EBUSY")
    this.children.delete(name)
  }

  put(): void {
    throw new Errno("EACCES")
  }
  drop(): void {
    throw new Errno("EPERM")
  }

  move(process: Process): void {
    if (process.exit !== undefined) throw new Errno("ESRCH")
    if (
      this.hierarchy === "v2" &&
      this.above !== undefined &&
      (this.values.get("cgroup.subtree_control") ?? "") !== ""
    ) {
      throw new Errno("EBUSY")
    }
    process.cgroups.get(this.hierarchy)?.processes.delete(process)
    process.cgroups.set(this.hierarchy, this)
    this.processes.add(process)
  }

  *everything(): Generator<Cgroup> {
    yield this
    for (const child of this.children.values()) yield* child.everything()
  }

  private controlNames(): Array<string> {
    const own =
      this.hierarchy === "v2" ? ["cgroup.subtree_control", "cgroup.events", "cgroup.freeze", "pids.current"] : []
    if (this.hierarchy === "v2" && this.above !== undefined) own.push("cgroup.kill")
    if (this.hierarchy === "pids") own.push("pids.current")
    return [
      "cgroup.procs",
      ...(this.hierarchy === "v2" ? [] : ["tasks"]),
      ...own,
      ...Object.keys(plain[this.hierarchy] ?? {})
    ]
  }

  private control(name: string): DynamicFile | undefined {
    if (!this.controlNames().includes(name)) return undefined
    const file = (get: () => string, set?: (value: string) => void) => new DynamicFile(this.fs, get, set)
    switch (name) {
      case "cgroup.procs":
      case "tasks":
        return file(
          () => [...this.processes].map((process) => `${process.pid}\n`).join(""),
          (value) => this.moveByPid(value)
        )
      case "cgroup.kill":
        return file(
          () => "",
          () => {
            for (const cgroup of this.everything()) {
              for (const process of cgroup.processes) this.table().signal(process, 9)
            }
          }
        )
      case "cgroup.events":
        return file(() => `populated ${this.populated() ? 1 : 0}\nfrozen ${this.values.get("cgroup.freeze") ?? "0"}\n`)
      case "cgroup.freeze":
        return file(
          () => `${this.values.get(name) ?? "0"}\n`,
          (value) => this.values.set(name, value.trim())
        )
      case "freezer.state":
        return file(
          () => `${this.values.get(name) ?? "THAWED"}\n`,
          (value) => {
            this.values.set(name, value.trim())
            this.endKilled()
          }
        )
      case "cgroup.subtree_control":
        return file(
          () => `${this.values.get(name) ?? ""}\n`,
          (value) => this.delegate(value)
        )
      case "pids.current":
        return file(() => `${[...this.everything()].reduce((sum, cgroup) => sum + cgroup.processes.size, 0)}\n`)
      default: {
        const initial = plain[this.hierarchy]?.[name] ?? ""
        return file(
          () => this.values.get(name) ?? initial,
          (value) => this.values.set(name, value.endsWith("\n") ? value : `${value}\n`)
        )
      }
    }
  }

  /** v1: its own state, or one above it. */
  get frozen(): boolean {
    return this.values.get("freezer.state") === "FROZEN" || this.above?.frozen === true
  }

  private endKilled(): void {
    for (const cgroup of this.everything()) {
      for (const process of cgroup.processes) {
        if (process.killed && !process.frozen) this.table().signal(process, 9)
      }
    }
  }

  private populated(): boolean {
    return [...this.everything()].some((cgroup) => cgroup.processes.size > 0)
  }

  private moveByPid(value: string): void {
    const pid = Number(value.trim())
    if (!Number.isInteger(pid)) throw new Errno("EINVAL")
    const process = this.table().all.get(pid)
    if (process === undefined) throw new Errno("ESRCH")
    this.move(process)
  }

  private delegate(value: string): void {
    const enabled = new Set((this.values.get("cgroup.subtree_control") ?? "").split(" ").filter((name) => name !== ""))
    for (const word of value.trim().split(/\s+/)) {
      if (word.startsWith("+")) enabled.add(word.slice(1))
      else if (word.startsWith("-")) enabled.delete(word.slice(1))
      else throw new Errno("EINVAL")
    }
    if (enabled.size > 0 && this.above !== undefined && this.processes.size > 0) throw new Errno("EBUSY")
    this.values.set("cgroup.subtree_control", [...enabled].sort().join(" "))
  }
}
