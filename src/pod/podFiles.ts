/** Files that every container of a pod sees: /etc/hostname, /etc/resolv.conf and /dev/shm. */
import { Effect } from "effect"
import type { DNSConfig } from "../gen/runtime/v1/api.ts"
import { Files } from "../linux/Files.ts"
import { toHost } from "../linux/IdMapping.ts"
import { Mounts } from "../linux/Mounts.ts"
import { makeSearchable } from "../linux/searchable.ts"
import { podDirectory, type PodPlan } from "./podPlan.ts"
import { PodSettings } from "./PodSettings.ts"

/** resolv.conf(5): what the request says; without a request the host's own file is used. */
export const resolvConf = (dns: DNSConfig): string =>
  [
    ...(dns.searches.length > 0 ? [`search ${dns.searches.join(" ")}`] : []),
    ...dns.servers.map((server) => `nameserver ${server}`),
    ...(dns.options.length > 0 ? [`options ${dns.options.join(" ")}`] : [])
  ]
    .map((line) => `${line}\n`)
    .join("")

const isEmpty = (dns: DNSConfig) => dns.servers.length + dns.searches.length + dns.options.length === 0

export const writePodFiles = Effect.fn("writePodFiles")(function* ({ record: pod, config, shmSize }: PodPlan) {
  const files = yield* Files
  const mounts = yield* Mounts
  const { runDirectory } = yield* PodSettings
  const { user } = pod.namespaces
  const owner = { uid: (user && toHost(user.uids, 0)) ?? 0, gid: (user && toHost(user.gids, 0)) ?? 0 }
  const directory = podDirectory(runDirectory, pod.id)
  yield* files.makeDirectory(directory, { mode: 0o711, recursive: true })
  // A container's root is nobody here when the pod has a user namespace.
  if (user !== null) yield* makeSearchable(files, directory)

  const write = Effect.fnUntraced(function* (name: string, content: string) {
    const path = `${directory}/${name}`
    yield* Effect.scoped(
      Effect.flatMap(files.open(path, "truncate", 0o644), (file) => file.write(new TextEncoder().encode(content)))
    )
    if (user !== null) yield* files.chown(path, owner.uid, owner.gid)
  })
  const hostname = pod.hostname === "" ? (yield* files.readText("/proc/sys/kernel/hostname")).trim() : pod.hostname
  yield* write("hostname", `${hostname}\n`)
  const hostResolvConf = files.readText("/etc/resolv.conf", { maxBytes: 1 << 20 }).pipe(
    Effect.catchIf(
      ({ code }) => code === "ENOENT",
      () => Effect.succeed("")
    )
  )
  const dns = config.dnsConfig
  yield* write("resolv.conf", dns === undefined || isEmpty(dns) ? yield* hostResolvConf : resolvConf(dns))

  if (pod.namespaces.ipc !== "pod") return
  yield* files.makeDirectory(`${directory}/shm`, { mode: 0o1777 })
  yield* mounts.mount({
    source: "shm",
    target: `${directory}/shm`,
    type: "tmpfs",
    flags: ["nosuid", "nodev", "noexec"],
    data: `mode=1777,size=${shmSize}${user === null ? "" : `,uid=${owner.uid},gid=${owner.gid}`}`
  })
})
