/**
 * The profiles that come with the harness: a runtime that is installed and running on this machine, with its deviations
 * by name. A file that `extends` one of them adds a `start` and private namespaces.
 */

/** A network's allocator remembers its last address; locks are files. */
const network = ["(\\.lock|/lock)$", "last_reserved_ip\\.\\d+$"]

const images = { main: "registry.k8s.io/e2e-test-images/busybox:1.29-4", spare: "registry.k8s.io/pause:3.9" }

export const builtInProfiles: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  cricket: {
    name: "cricket",
    endpoint: "unix:///var/run/crio/crio.sock",
    paths: ["/var/lib/containers/storage", "/run/containers/storage", "/var/lib/cni"],
    // Each daemon has one of its own of these two.
    lasting: [...network, "/cricket-staging/[0-9a-f]+$", "/cricket/exec/exec-[0-9a-f]+$"],
    // The store binds it over itself before its first mount, as containers/storage does.
    lastingMounts: ["/overlay$"],
    // What is read again and again stays open for up to a minute; that kubelet has removed a pod's cgroup shows then.
    keptDescriptors: ["^/sys/fs/cgroup/.*/pod[^/]*/[^/]+$"],
    monitor: { program: "conmon", scope: "container" },
    images,
    capabilities: ["hostPorts", "sharedPid", "memoryLimits", "reload"]
  },
  crio: {
    name: "crio",
    endpoint: "unix:///var/run/crio/crio.sock",
    pidFile: "/var/run/crio/crio.pid",
    paths: ["/var/lib/containers/storage", "/run/containers/storage", "/var/lib/cni", "/var/run/crio"],
    lasting: network,
    // containers/storage binds it over itself before its first mount.
    lastingMounts: ["/overlay$"],
    monitor: { program: "conmon", scope: "container" },
    images,
    capabilities: ["hostPorts", "memoryLimits", "reload"],
    known: [
      {
        rule: "pod.remove.concurrent",
        reason: "of two RemovePodSandbox of one pod one fails: failed to delete container from index"
      },
      {
        rule: "pod.run.concurrent",
        reason: "of two identical RunPodSandbox the second hangs until the client's deadline"
      },
      { rule: "exec.state", reason: "ExecSync in a container that was created and not started runs" }
    ]
  },
  containerd: {
    name: "containerd",
    endpoint: "unix:///run/containerd/containerd.sock",
    paths: [
      "/var/lib/containerd/io.containerd.grpc.v1.cri",
      "/run/containerd/io.containerd.grpc.v1.cri",
      "/run/containerd/io.containerd.runtime.v2.task",
      "/var/lib/cni"
    ],
    lasting: network,
    monitor: { program: "containerd-shim-runc-v2", scope: "pod" },
    images,
    capabilities: ["hostPorts", "sharedPid", "memoryLimits"],
    known: [
      {
        rule: "pod.remove.concurrent",
        reason: "of two RemovePodSandbox of one pod one fails: failed to remove container"
      },
      { rule: "container.remove.concurrent", reason: "of two RemoveContainer of one container one fails" },
      { rule: "pod.run.again", reason: "a name is reserved until its pod is removed; the retry is refused" },
      { rule: "pod.run.retry", reason: "a name is reserved until its pod is removed; the retry is refused" },
      { rule: "pod.run.concurrent", reason: "a name is reserved while its pod is made; the second request is refused" },
      {
        rule: "container.create.again",
        reason: "a name is reserved until its container is removed; the retry is refused"
      },
      {
        rule: "container.create.retry",
        reason: "a name is reserved until its container is removed; the retry is refused"
      },
      { rule: "container.create.concurrent", reason: "a name is reserved while its container is made" },
      { rule: "pod.stop.created", reason: "StopPodSandbox leaves a container that was never started CREATED" },
      {
        rule: "pod.stop.idempotent",
        matching: "NOT_FOUND",
        reason: "StopPodSandbox of an id that is not known fails with NOT_FOUND (before 1.7)"
      },
      {
        rule: "container.stop.idempotent",
        matching: "NOT_FOUND",
        reason: "StopContainer of an id that is not known fails with NOT_FOUND (before 1.7)"
      },
      {
        rule: "container.stop.concurrent",
        matching: "NOT_FOUND",
        reason: "StopContainer fails with NOT_FOUND when the container is removed meanwhile"
      },
      {
        rule: "container.stop.exited",
        matching: "is created",
        reason: "StopContainer leaves a container that was never started CREATED"
      },
      {
        rule: "container.stop.exited",
        matching: "which (fails|completes|outgrows), is running; expected exited",
        reason: "StopContainer answers before it is noticed that a container has just ended by itself"
      },
      {
        rule: "container.exit.oom",
        matching: 'code 137 and reason "Error"',
        reason: "that a container outgrew its memory is lost when its end is noticed first, or no daemon is there"
      },
      {
        rule: "container.exit.oom",
        matching: '255 and reason "Unknown"',
        after: "end",
        reason: "the exit code of a container that ended while no daemon was there is lost"
      },
      {
        rule: "pod.stop.idempotent",
        matching: "unknown FS magic",
        after: "cancel",
        reason:
          "a StopPodSandbox that its client has given up leaves a namespace's file that is none; the next one fails"
      },
      {
        rule: "read.known",
        matching: "failed to decode sandbox container metrics",
        reason: "ListPodSandboxStats fails while one of the pods is stopped"
      },
      {
        rule: "pod.stop.concurrent",
        matching: "failed to destroy network",
        reason: "of two StopPodSandbox of one pod one fails: both remove its network, and one finds it gone"
      },
      ...(["pod.stop", "pod.remove", "container.stop", "container.remove"] as const).flatMap((rule) =>
        ["idempotent", "concurrent"].map((manner) => ({
          rule: `${rule}.${manner}`,
          matching: "ttrpc: closed",
          reason: "a process that ends at that moment takes its shim with it, and what was to stop it fails"
        }))
      ),
      ...["pod.remove.idempotent", "pod.remove.concurrent", "container.remove.idempotent"].map((rule) => ({
        rule,
        matching: "in starting state, can't be removed",
        after: "cancel",
        reason: "a StartContainer that its client has given up goes on, and a removal is refused meanwhile"
      })),
      {
        rule: "container.exit.code",
        matching: "has exit code 2 .Error.",
        reason: "a stop that comes while a container starts ends runc before it has become the program: exit code 2"
      },
      {
        rule: "container.exit.code",
        matching: "has exit code 1 .Error.; expected.* 128",
        after: "end",
        reason: "a start that an ended daemon has interrupted ends runc before it has become the program: exit code 1"
      },
      {
        rule: "container.exit.code",
        matching: "255 .Unknown.",
        reason: "the exit code of a container that ended while no daemon was there is lost"
      },
      {
        rule: "container.times",
        matching: "in state exited",
        reason: "a short life is shown to have ended before it began"
      },
      {
        rule: "container.exit.reason",
        matching: '255 and reason "Unknown"',
        after: "end",
        reason: "the exit code of a container that ended while no daemon was there is lost"
      },
      {
        rule: "container.start.running",
        matching: "already in starting state",
        after: "cancel",
        reason: "a StartContainer that its client has given up goes on, and another one is refused meanwhile"
      },
      {
        rule: "container.state",
        matching: "in state 3",
        after: "kill",
        reason: "a container whose creation or start a killed daemon has interrupted is in state UNKNOWN"
      },
      {
        rule: "read.whole",
        matching: "container \\w+ without state$",
        after: "kill",
        reason: "a container whose creation or start a killed daemon has interrupted is in state UNKNOWN"
      },
      {
        rule: "container.state",
        matching: "is listed as created, and its status is (running|exited)",
        after: "cancel",
        reason: "a StartContainer that its client has given up goes on, and another one is refused meanwhile"
      },
      {
        rule: "daemon.survive",
        matching: "is (running|exited); expected created .its pod is ready",
        after: "cancel",
        reason: "a StartContainer that its client has given up goes on, and is seen after a restart"
      },
      {
        rule: "daemon.survive",
        matching: "is exited; expected created .its pod is notReady",
        after: "end",
        reason: "a container that was never started, of a stopped pod, is EXITED after a restart"
      },
      {
        rule: "pod.stop.concurrent",
        matching: "unknown id.*NOT_FOUND",
        reason: "StopPodSandbox of an id that is not known fails with NOT_FOUND (before 1.7)"
      },
      {
        rule: "read.stats",
        matching: "does not run and has statistics",
        reason: "ListContainerStats lists containers that do not run"
      },
      {
        rule: "read.pod-stats",
        matching: "failed to decode",
        reason: "PodSandboxStats fails for a pod with a container that has ended"
      },
      {
        rule: "container.remove.idempotent",
        matching: "still running, to stop first",
        reason: "RemoveContainer fails for a container whose end was not noticed yet"
      },
      {
        rule: "rpc.deadline",
        matching: "ExecSync timeout with children",
        reason:
          "after its timeout ExecSync waits for output as long as a process that the command has left holds it open"
      },
      {
        rule: "exec.timeout",
        matching: "DEADLINE_EXCEEDED: Deadline exceeded",
        reason:
          "after its timeout ExecSync waits for output as long as a process that the command has left holds it open"
      },
      {
        rule: "exec.timeout.processes",
        reason: "at its timeout ExecSync kills the command, and not what it has started"
      },
      {
        rule: "stream.output-complete",
        matching: "Exec.* terminal in .* gave 0 of",
        reason: "what a command with a terminal has written is lost when it ends at once"
      },
      {
        rule: "stream.abort-leaves-nothing",
        matching: "Exec.* of a writer",
        reason: "what a command writes is read no more once its client has gone: it waits for ever"
      },
      ...(["mounts", "namespaces", "links", "firewall", "cgroups", "processes", "files"] as const).map((kind) => ({
        rule: `host.${kind}`,
        matching: "^left:",
        after: "end",
        reason: "a pod that an ended daemon had begun keeps its name, and nobody can see or remove what it has"
      })),
      ...(["mounts", "cgroups", "processes", "files"] as const).map((kind) => ({
        rule: `host.${kind}`,
        matching: "^left:",
        after: "cancel",
        reason: "a StartContainer that its client has given up is broken off, and what it had begun stays"
      })),
      {
        rule: "host.descriptors",
        after: "end",
        reason: "of a pod that an ended daemon had begun the next one opens what nobody can see or remove"
      },
      { rule: "host.files", matching: "/run/containerd/s/", reason: "sockets of shims that were killed stay" }
    ]
  }
}
