/**
 * Namespaces for a target: mount, network, IPC and PID. Process 1 in them only waits and reaps; when it ends the kernel
 * ends every other process in them, and with the last one mounts, links, rules and leases are gone.
 */
import { Effect, Option, type Scope } from "effect"
import { Files } from "../../linux/Files.ts"
import type { LinuxError } from "../../linux/LinuxError.ts"
import { Processes, type ProcessIdentity } from "../../linux/Processes.ts"
import { TargetError } from "../HarnessError.ts"
import type { Profile } from "../Profile.ts"

export interface Holder {
  /** Process 1 of the namespaces, as this process names it. */
  readonly process: ProcessIdentity
}

export interface HolderOptions {
  readonly profile: Profile
  /** Gets a file system of its own in the namespaces. */
  readonly state: string
  /** For its log and its sign of life. */
  readonly directory: string
  readonly env: Readonly<Record<string, string>>
}

/** The command by which process 1 waits. */
export const waiting = "sleep 3600"

/** The network namespace, as a path in the mount namespace. */
export const pinnedNetwork = (directory: string): string => `${directory}/network`

const startLimitMs = 10_000
const pauseMs = 10

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`

/** What process 1 runs: "/" is shared inside, as containers' mount propagation needs, and nothing of it leaves. */
const script = ({ profile, state, directory }: HolderOptions): string => `set -e
for directory in ${[state, ...profile.privateDirectories].map(quoted).join(" ")}; do
  mkdir -p "$directory"
  mount -t tmpfs -o mode=0755 cricket-harness "$directory"
done
ip link set lo up
: > ${quoted(pinnedNetwork(directory))}
mount --bind /proc/self/ns/net ${quoted(pinnedNetwork(directory))}
${profile.setup}
mount --make-rshared /
: > ${quoted(`${directory}/namespaces`)}
set +e
while :; do ${waiting}; done
`

/** The first child of a process, when it has one. */
export const childOf = Effect.fnUntraced(function* (parent: ProcessIdentity) {
  const all = yield* (yield* Processes).list
  const child = all.find((process) => process.parent === parent.pid)
  return child === undefined
    ? Option.none<ProcessIdentity>()
    : Option.some<ProcessIdentity>({ pid: child.pid, startTime: child.startTime })
})

/** A place to mount on has to be there outside too: what is not there yet goes again with the scope. */
const removeMadeDirectories = Effect.fnUntraced(function* (directories: ReadonlyArray<string>) {
  const files = yield* Files
  for (const path of directories) {
    const isThere = yield* files.lstat(path).pipe(
      Effect.as(true),
      Effect.orElseSucceed(() => false)
    )
    if (!isThere) yield* Effect.addFinalizer(() => Effect.ignore(files.removeDirectory(path)))
  }
})

export const openHolder = Effect.fnUntraced(function* (
  options: HolderOptions
): Effect.fn.Return<Holder, TargetError | LinuxError, Files | Processes | Scope.Scope> {
  const files = yield* Files
  const processes = yield* Processes
  const log = `${options.directory}/namespaces.log`
  const sign = `${options.directory}/namespaces`
  yield* Effect.ignore(files.removeFile(sign))
  yield* removeMadeDirectories(options.profile.privateDirectories)
  // Closing the scope kills unshare, and that its child; so does the end of this process.
  const child = yield* processes.spawn({
    path: "/bin/sh",
    args: [
      "-c",
      'exec setpriv --pdeathsig KILL unshare --mount --net --ipc --pid --fork --kill-child --mount-proc --propagation private sh -c "$1" >"$2" 2>&1',
      "sh",
      script(options),
      log
    ],
    env: options.env,
    fds: ["null", "null", "null"],
    newSession: true
  })
  for (let waited = 0; waited < startLimitMs; waited += pauseMs) {
    const isThere = yield* files.lstat(sign).pipe(
      Effect.as(true),
      Effect.orElseSucceed(() => false)
    )
    const process = yield* childOf(child.identity)
    if (isThere && Option.isSome(process)) return { process: process.value }
    yield* Effect.sleep(pauseMs)
  }
  const reason = yield* files.readText(log).pipe(Effect.orElseSucceed(() => ""))
  return yield* new TargetError({
    target: options.profile.name,
    action: "make namespaces",
    reason: reason.trim() || "they are not there after 10 s; unshare(1), setpriv(1) and CAP_SYS_ADMIN are needed"
  })
})
