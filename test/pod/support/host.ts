/** A pod domain over a host that exists only in the test: records in memory, processes that die when told to. */
import { Effect, Layer, Option } from "effect"
import { Cgroups } from "../../../src/cgroup/Cgroups.ts"
import { Conmon } from "../../../src/conmon/Conmon.ts"
import { ConmonError } from "../../../src/conmon/ConmonError.ts"
import type { ContainerExit } from "../../../src/conmon/MonitoredContainer.ts"
import { Files } from "../../../src/linux/Files.ts"
import { LinuxError } from "../../../src/linux/LinuxError.ts"
import { Processes, type ProcessInfo } from "../../../src/linux/Processes.ts"
import type { ContainerRecord } from "../../../src/pod/ContainerRecord.ts"
import { Jobs } from "../../../src/pod/Jobs.ts"
import { RecordError } from "../../../src/pod/PodError.ts"
import type { PodRecord } from "../../../src/pod/PodRecord.ts"
import { Pods } from "../../../src/pod/Pods.ts"
import { PodSettings } from "../../../src/pod/PodSettings.ts"
import { Records } from "../../../src/pod/Records.ts"

export const bootId = "11111111-2222-3333-4444-555555555555"
export const podId = "a".repeat(64)
export const containerId = "c".repeat(64)

export const podRecord = (patch: Partial<PodRecord> = {}): PodRecord => ({
  version: 1,
  id: podId,
  name: "k8s_POD_web_default_uid-1_0",
  bootId,
  metadata: { name: "web", uid: "uid-1", namespace: "default", attempt: 0 },
  labels: { app: "web" },
  annotations: { note: "kept as it is" },
  hostname: "web",
  logDirectory: "/var/log/pods/default_web_uid-1",
  runtimeHandler: "",
  cgroupParent: "/kubepods/pod-uid-1",
  privileged: false,
  namespaces: { network: "pod", pid: "container", ipc: "pod", user: null },
  sysctls: {},
  ips: ["10.88.0.2", "fd00::2"],
  pause: null,
  createdAtNs: 1_700_000_000_123_456_789n,
  state: { _tag: "Ready" },
  resources: [],
  ...patch
})

export const containerRecord = (patch: Partial<ContainerRecord> = {}): ContainerRecord => ({
  version: 1,
  id: containerId,
  podId,
  name: "k8s_app_web_default_uid-1_0",
  bootId,
  metadata: { name: "app", attempt: 0 },
  labels: { tier: "front" },
  annotations: {},
  image: {
    requested: "sha256:" + "e".repeat(64),
    userSpecified: "busybox:1",
    runtimeHandler: "",
    annotations: {},
    id: "e".repeat(64),
    ref: "docker.io/library/busybox@sha256:" + "f".repeat(64)
  },
  logPath: "/var/log/pods/default_web_uid-1/app/0.log",
  mounts: [],
  limits: null,
  user: { uid: 0, gid: 0, groups: [0] },
  stopSignal: 15,
  terminal: false,
  stdin: false,
  stdinOnce: false,
  handler: "crun",
  bundle: `/run/bundles/${containerId}`,
  privileged: false,
  createdAtNs: 1_700_000_001_000_000_000n,
  state: { _tag: "Running", pid: 100, startTime: 7, startedAtNs: 5n },
  resources: [
    { _tag: "Layer", containerId },
    {
      _tag: "Runtime",
      containerId,
      handler: "crun",
      bundle: `/run/bundles/${containerId}`,
      cgroup: `/kubepods/pod-uid-1/crio-${containerId}`
    }
  ],
  ...patch
})

/** What the host of a test has, and what was done to it. */
export class Host {
  /** Pids of living processes with their start times. */
  readonly processes = new Map<number, number>([[100, 7]])
  /** Container ids whose monitor lives. */
  readonly monitors = new Set<string>([containerId])
  readonly exits = new Map<string, ContainerExit | "damaged">()
  readonly signals: Array<{ readonly pid: number; readonly signal: number }> = []
  /** What a signal does beyond being noted. */
  onSignal: (pid: number, signal: number) => void = () => {}
  /** Cgroups whose processes were killed. */
  readonly killed: Array<string> = []
  /** Last saved record by id; what was dropped is not in it. */
  readonly saved = new Map<string, PodRecord | ContainerRecord>()
  diskFull = false
  /** Processes that the kernel has killed in every cgroup for lack of memory; undefined where there is no cgroup. */
  oomKills: bigint | undefined
  /** What looking for a process fails with. */
  findFails: LinuxError | undefined

  /** The process ends, and its monitor records it. */
  exit(pid: number, id: string, code: number): void {
    this.processes.delete(pid)
    this.exits.set(id, { code, finishedAtNs: 9_000_000n, oomKilled: false })
    this.monitors.delete(id)
  }

  private save = (record: PodRecord | ContainerRecord) =>
    Effect.suspend(() => {
      if (this.diskFull) return Effect.fail(new RecordError({ path: record.id, reason: "no space left on device" }))
      this.saved.set(record.id, record)
      return Effect.void
    })
  private drop = (id: string) => Effect.sync(() => void this.saved.delete(id))

  get records() {
    const { save, drop } = this
    return Layer.mock(Records, {
      beginPod: save,
      beginContainer: save,
      savePod: save,
      saveContainer: save,
      dropPod: drop,
      dropContainer: drop
    })
  }

  get seam() {
    return Layer.mergeAll(
      Layer.mock(Processes, {
        find: (pid) =>
          Effect.suspend(() => {
            if (this.findFails !== undefined) return Effect.fail(this.findFails)
            const startTime = this.processes.get(pid)
            if (startTime === undefined) return Effect.succeed(Option.none<ProcessInfo>())
            return Effect.succeedSome({ pid, startTime, parent: 1, session: pid, state: "S", command: "app" })
          }),
        signal: ({ pid, startTime }, signal) =>
          Effect.sync(() => {
            if (this.processes.get(pid) !== startTime) return false
            this.signals.push({ pid, signal })
            this.onSignal(pid, signal)
            return true
          })
      }),
      Layer.mock(Files, {
        // A process outside every other PID namespace: it takes every signal.
        readText: (path) =>
          path.startsWith("/proc/")
            ? Effect.succeed("Name:\tapp\nNSpid:\t100\n")
            : Effect.fail(new LinuxError({ operation: "read", subject: path, code: "ENOENT" }))
      })
    )
  }

  get settings() {
    return Layer.succeed(PodSettings, {
      stateDirectory: "/var/lib/cricket",
      runDirectory: "/run/cricket",
      namespacesDirectory: "/run",
      exitsDirectory: "/run/exits",
      attachSocketDirectory: "/run/attach",
      logDirectory: "/var/log/pods",
      defaultCgroupParent: "/crio",
      cgroupManager: "cgroupfs",
      defaultSysctls: [],
      pauseImage: "pause",
      pauseCommand: ["/pause"],
      conmonPath: "/usr/bin/conmon",
      logSizeMax: -1,
      bootId,
      admittedStarts: 3
    })
  }

  get parts() {
    return Layer.mergeAll(
      Layer.mock(Conmon, {
        monitor: ({ containerId }) =>
          Effect.sync(() => (this.monitors.has(containerId) ? Option.some({ pid: 99, startTime: 6 }) : Option.none())),
        readExit: ({ containerId }) =>
          Effect.suspend(() => {
            const exit = this.exits.get(containerId)
            return exit === "damaged" ? damaged(containerId) : Effect.succeed(Option.fromUndefinedOr(exit))
          })
      }),
      Layer.mock(Cgroups, {
        version: 2,
        killAll: (cgroup) => Effect.sync(() => void this.killed.push(cgroup)),
        usageInDetail: () =>
          Effect.sync(() =>
            this.oomKills === undefined ? undefined : ({ details: { oomKills: this.oomKills } } as never)
          )
      })
    )
  }

  /** Pods and jobs, with all below them. */
  get layer() {
    return Layer.mergeAll(Jobs.layer, Pods.layer).pipe(
      Layer.provideMerge(Layer.mergeAll(this.records, this.settings, this.seam, this.parts))
    )
  }
}

const damaged = (containerId: string) =>
  Effect.fail(
    ConmonError.make({
      kind: "State",
      operation: "read the exit code",
      containerId,
      reason: `/run/exits/${containerId} holds "", not an exit code`
    })
  )
