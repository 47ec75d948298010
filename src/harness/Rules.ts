/**
 * The rules that a target is held to, by id. They come from the comments of CRI v1's api.proto, from what kubelet does
 * with the answers, and from the promise that a runtime gives back what it took.
 */

const pods = {
  "pod.run.ready": "RunPodSandbox answers with an id when the pod is READY",
  "pod.run.echo": "metadata, labels, annotations, handler and network mode come back as they were given",
  "pod.run.times": "created_at is set, in nanoseconds, not in the future, and never changes",
  "pod.run.address": "a pod on the pod network has an address that no other ready pod has, and keeps it",
  "pod.run.refused": "a RunPodSandbox that cannot be fulfilled fails and leaves no ready pod",
  "pod.run.again": "the same RunPodSandbox again gives the pod that it made before",
  "pod.run.retry": "a RunPodSandbox repeated after a lost answer succeeds, and there is one pod of that name",
  "pod.run.concurrent": "two identical RunPodSandbox at the same time both answer with the same pod",
  "pod.name.unique": "there is one pod at most of a name, namespace, uid and attempt",
  "pod.stop.idempotent": "StopPodSandbox succeeds, also repeated, also for an id that is not known",
  "pod.stop.concurrent": "StopPodSandbox succeeds beside other requests for the same pod",
  "pod.stop.notReady": "a stopped pod is NOTREADY until it is removed",
  "pod.stop.containers": "containers of a stopped pod do not run",
  "pod.stop.created": "a container that was never started is EXITED when its pod has been stopped",
  "pod.remove.idempotent":
    "RemovePodSandbox succeeds, also repeated, also for a running pod and an id that is not known",
  "pod.remove.concurrent": "RemovePodSandbox succeeds beside other requests for the same pod",
  "pod.remove.gone": "a removed pod and its containers are listed no more",
  "pod.update": "UpdatePodSandboxResources of a ready pod succeeds",
  "pod.state": "a pod is in the state that the requests left it in"
} as const

const containers = {
  "container.create.created": "CreateContainer in a ready pod answers with an id, and the container is CREATED",
  "container.create.echo": "metadata, labels, annotations, image and log path come back as they were given",
  "container.create.refused": "CreateContainer fails in a pod that is not ready, and without its image",
  "container.create.again": "the same CreateContainer again gives the container that it made before",
  "container.create.retry": "a CreateContainer repeated after a lost answer succeeds, and there is one of that name",
  "container.create.concurrent": "two identical CreateContainer at the same time both answer with the same container",
  "container.name.unique": "there is one container at most of a name and attempt in a pod",
  "container.start.running": "StartContainer of a created container succeeds; it is RUNNING, or has run",
  "container.start.refused": "StartContainer of a container that runs, has exited or is not known fails",
  "container.stop.idempotent": "StopContainer succeeds, also repeated, also for an id that is not known",
  "container.stop.concurrent": "StopContainer succeeds beside other requests for the same container",
  "container.stop.exited": "a stopped container is EXITED when StopContainer answers",
  "container.stop.grace": "StopContainer answers soon after the grace period has ended",
  "container.remove.idempotent":
    "RemoveContainer succeeds, also repeated, also for a running container and an unknown id",
  "container.remove.concurrent": "RemoveContainer succeeds beside other requests for the same container",
  "container.remove.gone": "a removed container is listed no more",
  "container.exit.noticed": "a container whose process has ended is EXITED soon after",
  "container.exit.code": "the exit code is the process's own, or 128 and the signal that ended it",
  "container.exit.reason":
    "the reason of an exit is Completed for 0 and Error for other codes, unless it was OOMKilled",
  "container.exit.oom": "a container that outgrew its memory limit has exit code 137 and reason OOMKilled",
  "container.exit.stable": "what is said of an exit never changes, also after a restart of the daemon",
  "container.times": "created_at ≤ started_at ≤ finished_at, each 0 until it happened; none ever changes",
  "container.state": "a container is in the state that the requests left it in",
  "container.checkpoint.unknown": "CheckpointContainer of an id that is not known fails: NOT_FOUND, or UNIMPLEMENTED",
  "container.update": "UpdateContainerResources succeeds and is reflected in ContainerStatus.resources"
} as const

const others = {
  "exec.code": "ExecSync answers with the command's exit code",
  "exec.output": "ExecSync answers with all that the command wrote, stdout and stderr apart",
  "exec.timeout": "ExecSync fails with DEADLINE_EXCEEDED at its timeout, not much later",
  "exec.timeout.processes": "no process of an ExecSync lives on after its timeout",
  "exec.pids": "at the pids limit ExecSync answers or fails in time, and works again without it",
  "exec.state": "ExecSync fails in a container that does not run",
  "log.format": "log lines have a time, a stream and a tag",
  "log.complete": "every line that a container wrote is in its log once, in order, also across reopening and restarts",
  "log.reopen": "ReopenContainerLog makes a new file and goes on writing there",
  "log.reopen.refused": "ReopenContainerLog fails for a container that does not run, and makes no file",
  "log.kept": "logs stay when containers are removed: they are kubelet's",
  "image.pull": "PullImage answers with the id that ImageStatus shows, twice at the same time too",
  "image.list": "a pulled image is listed, a removed one is not; ImageStatus of one that is absent is empty, no error",
  "image.remove": "RemoveImage succeeds, also for an image that is absent",
  "image.remove.used": "RemoveImage of an image in use may fail, and leaves the containers that use it as they are",
  "read.known": "lists and statuses of what exists never fail",
  "read.unknown": "PodSandboxStatus and ContainerStatus of what does not exist fail with NOT_FOUND",
  "read.filter": "a filter by id, state or label gives what has it, and nothing else",
  "read.streamed": "StreamPodSandboxes and StreamContainers give what the lists give",
  "read.listed": "nothing is listed that nobody asked for",
  "read.stats": "statistics are of containers that run, and have times",
  "read.pod-stats":
    "statistics of ready pods are there, are theirs, with times where a container runs; none are of removed pods",
  "read.metrics": "metrics are as their descriptors say",
  "read.whole": "what is listed while other requests are on their way is whole: id, metadata, labels, time, image",
  "read.status": "Status has RuntimeReady and NetworkReady, Version its four texts",
  "stream.url": "Exec, Attach and PortForward answer with an http address",
  "stream.open": "the address can be opened as a WebSocket, by a subprotocol of the API server's, and ends in order",
  "stream.spdy": "the address can be opened over SPDY/3.1, by a protocol of kubelet's clients, and ends in order",
  "stream.exit-code": "the status at the end of an exec's stream has the command's exit code",
  "stream.output-complete": "all that a command wrote comes before its stream ends, in order, stdout and stderr apart",
  "stream.stdin": "what is written to an exec's stdin reaches the command, and what it answers comes back",
  "stream.half-close": "a client that closes stdin (v5, SPDY) ends the command's stdin, and still reads what it writes",
  "stream.state": "Exec runs nothing in a container that does not run",
  "stream.token-once": "an address can be opened once, also by two clients at the same time",
  "stream.abort-leaves-nothing":
    "after a client that went away its command can come to its end, and the daemon has no descriptor of it",
  "stream.attach":
    "an attached client reads what the container writes from then on, in order; what it writes is its stdin",
  "stream.forward": "what is sent to a forwarded port arrives there, and what is sent back comes back",
  "stream.forward-refused": "a forward to a port where nobody listens says so on its error channel",
  "events.order": "events of a container come in the order of its life, each once"
} as const

const daemon = {
  "rpc.deadline": "every request is answered in the profile's time",
  "rpc.internal": "no request fails with INTERNAL",
  "daemon.ready": "a daemon that was killed is ready again in the profile's time",
  "daemon.survive": "pods and containers are after a restart of the daemon what they were before",
  "daemon.end": "SIGTERM ends the daemon in ten seconds",
  "daemon.reload": "a daemon that reads its settings again at SIGHUP answers meanwhile",
  "daemon.alive": "the daemon lives until it is told to end"
} as const

const host = {
  "host.listed": "after clean-up no pod and no container is listed",
  "host.mounts": "after clean-up mounts are as before",
  "host.namespaces": "after clean-up pinned namespaces are as before",
  "host.links": "after clean-up network links are as before",
  "host.firewall": "after clean-up firewall rules are as before",
  "host.ports": "after clean-up listening ports are as before",
  "host.cgroups": "after clean-up nothing is left in the pods' cgroups",
  "host.processes": "after clean-up processes are as before, and none waits to be reaped",
  "host.files": "after clean-up files, leases and records are as before",
  "host.descriptors": "after clean-up the daemon's descriptors are about as many as before",
  "host.memory": "after clean-up the daemon's memory is about as much as before"
} as const

const builtIn: Readonly<Record<string, string>> = { ...pods, ...containers, ...others, ...daemon, ...host }

const added = new Map<string, string>()

/** Rules of a project's own, for its own operations and invariants. */
export const addRule = (id: string, title: string): void => void added.set(id, title)

export const isRule = (id: string): boolean => id in builtIn || added.has(id)

/** Every rule in the order of the matrix. */
export const allRules = (): ReadonlyArray<readonly [id: string, title: string]> => [
  ...Object.entries(builtIn),
  ...added
]
