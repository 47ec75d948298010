/**
 * New namespaces, pinned. Everything happens on the calling thread in one synchronous block, because namespaces belong
 * to threads: between unshare(2) and the way back nothing may be handed to another thread or wait for the event loop.
 */
import { closeSync, openSync, writeFileSync, writeSync } from "node:fs"
import { type IdMappings, mapText, toHost } from "../IdMapping.ts"
import type { PinnedKind, PinRequest } from "../Namespaces.ts"
import { codeOf, Refused } from "./attempt.ts"
import {
  close,
  type Fd,
  ioctl,
  mount,
  O_CLOEXEC,
  O_RDONLY,
  sethostname,
  setns,
  socket,
  umount2,
  unshare
} from "./native.ts"
import { asUser } from "./threadUser.ts"
import { endSleeper, startSleeper } from "./sleeper.ts"
import { namespaceOfSysctl } from "./sysctls.ts"

/** CLONE_NEW* of unshare(2), setns(2) and NS_GET_NSTYPE. */
export const cloneFlags: Readonly<Record<PinnedKind, number>> = {
  net: 0x40000000,
  ipc: 0x08000000,
  uts: 0x04000000,
  user: 0x10000000
}

const MS_BIND = 0x1000
export const MNT_DETACH = 2
export const UMOUNT_NOFOLLOW = 8

type PathOf = (kind: PinnedKind) => string
const ownNamespace: PathOf = (kind) => `/proc/thread-self/ns/${kind}`

const AF_INET = 2
const SOCK_DGRAM = 2
const SIOCGIFFLAGS = 0x8913
const SIOCSIFFLAGS = 0x8914
const IFF_UP = 1
const offsetOfFlags = 16

/** The kernel itself gives the interface 127.0.0.1 and ::1 when it comes up. */
const bringLoopbackUp = (): void => {
  const fd = socket(AF_INET, SOCK_DGRAM | O_CLOEXEC, 0)
  try {
    const request = Buffer.alloc(40) // struct ifreq
    request.write("lo")
    ioctl(fd, SIOCGIFFLAGS, request)
    request.writeUInt16LE(request.readUInt16LE(offsetOfFlags) | IFF_UP, offsetOfFlags)
    ioctl(fd, SIOCSIFFLAGS, request)
  } finally {
    close(fd)
  }
}

const check = (request: PinRequest): void => {
  const made = new Set(request.namespaces.map(({ kind }) => kind))
  for (const { path } of request.sysctls) {
    const kind = namespaceOfSysctl(path)
    if (kind === undefined) throw new Refused("EINVAL", `${path} is not a sysctl of a pod`)
    if (!made.has(kind)) throw new Refused("EINVAL", `${path} needs a ${kind} namespace of the pod's own`)
  }
  if (request.hostname !== undefined && !made.has("uts")) {
    throw new Refused("EINVAL", "a hostname needs a uts namespace of the pod's own")
  }
  if (made.has("user") !== (request.mappings !== undefined)) {
    throw new Refused("EINVAL", "mappings of ids go with a user namespace")
  }
}

/** What is done inside the new namespaces. */
const furnish = (request: PinRequest): void => {
  if (request.namespaces.some(({ kind }) => kind === "net")) bringLoopbackUp()
  if (request.hostname !== undefined) sethostname(request.hostname)
  for (const { path, value } of request.sysctls) {
    writeSysctl(`/proc/sys/${path}`, value, request.mappings && toHost(request.mappings.uids, 0))
  }
}

/** What belongs to a user namespace may be its root's to write and nobody else's; that depends on key and kernel. */
const writeSysctl = (path: string, value: string, owner: number | undefined): void => {
  const write = () => writeFileSync(path, value, { flag: "r+" })
  try {
    write()
  } catch (error) {
    if (owner === undefined || codeOf(error) !== "EACCES") throw error
    asUser(owner, write)
  }
}

/** Unwinds its own pins. */
const bindAll = (request: PinRequest, pathOf: PathOf): void => {
  const bound: Array<string> = []
  try {
    for (const { kind, path } of request.namespaces) {
      mount(pathOf(kind), path, null, MS_BIND, null)
      bound.push(path)
    }
  } catch (error) {
    for (const path of bound) umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW)
    throw error
  }
}

/** A thread in a pod's namespaces must never run anything else of the daemon. */
const goBack = (origins: ReadonlyMap<PinnedKind, Fd>): void => {
  try {
    for (const [kind, fd] of origins) setns(fd, cloneFlags[kind])
  } catch (error) {
    writeSync(2, `cricket: cannot return to the host's namespaces, aborting: ${String(error)}\n`)
    process.abort()
  }
}

/** One step into namespaces: it is made whole or not at all. */
interface Entry {
  readonly kinds: ReadonlyArray<PinnedKind>
  readonly enter: () => void
}

/** Runs `inside` in the namespaces that the entries lead into, and comes back, from half the way too. */
const within = (entries: ReadonlyArray<Entry>, inside: () => void): void => {
  const origins = new Map<PinnedKind, Fd>()
  const left = new Map<PinnedKind, Fd>()
  try {
    for (const { kinds } of entries) {
      for (const kind of kinds) origins.set(kind, openSync(ownNamespace(kind), O_RDONLY))
    }
    try {
      for (const { kinds, enter } of entries) {
        enter()
        for (const kind of kinds) left.set(kind, origins.get(kind)!)
      }
      inside()
    } finally {
      goBack(left)
    }
  } finally {
    for (const fd of origins.values()) closeSync(fd)
  }
}

const flagsOf = (kinds: ReadonlyArray<PinnedKind>) => kinds.reduce((flags, kind) => flags | cloneFlags[kind], 0)

const entryInto = (kind: PinnedKind, path: string): Entry => ({
  kinds: [kind],
  enter: () => {
    const fd = openSync(path, O_RDONLY)
    try {
      setns(fd, cloneFlags[kind])
    } finally {
      closeSync(fd)
    }
  }
})

/** A child makes them all at once: only then are the others the user namespace's. */
const pinMapped = (request: PinRequest, kinds: ReadonlyArray<PinnedKind>, { uids, gids }: IdMappings): void => {
  const child = startSleeper(flagsOf(kinds))
  try {
    writeFileSync(`/proc/${child}/uid_map`, mapText(uids))
    writeFileSync(`/proc/${child}/gid_map`, mapText(gids))
    const pathOf: PathOf = (kind) => `/proc/${child}/ns/${kind}`
    // A process with threads cannot enter a user namespace, and nothing has to be done there.
    const entries = kinds.filter((kind) => kind !== "user").map((kind) => entryInto(kind, pathOf(kind)))
    within(entries, () => furnish(request))
    bindAll(request, pathOf)
  } finally {
    endSleeper(child)
  }
}

export const pin = (request: PinRequest): void => {
  check(request)
  const kinds = request.namespaces.map(({ kind }) => kind)
  if (request.mappings !== undefined) return pinMapped(request, kinds, request.mappings)
  within([{ kinds, enter: () => unshare(flagsOf(kinds)) }], () => {
    furnish(request)
    bindAll(request, ownNamespace)
  })
}
