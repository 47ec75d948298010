/**
 * New namespaces, pinned. Everything happens on the calling thread in one synchronous block, because namespaces belong
 * to threads: between unshare(2) and the way back nothing may be handed to another thread or wait for the event loop.
 */
import { closeSync, openSync, writeFileSync, writeSync } from "node:fs"
import type { PinnedKind, PinRequest } from "../Namespaces.ts"
import { Refused } from "./attempt.ts"
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
import { namespaceOfSysctl } from "./sysctls.ts"

/** CLONE_NEW* of unshare(2), setns(2) and NS_GET_NSTYPE. */
export const cloneFlags: Readonly<Record<PinnedKind, number>> = { net: 0x40000000, ipc: 0x08000000, uts: 0x04000000 }

const MS_BIND = 0x1000
export const MNT_DETACH = 2
export const UMOUNT_NOFOLLOW = 8

const ownNamespace = (kind: PinnedKind) => `/proc/thread-self/ns/${kind}`

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
}

/** What is done inside the new namespaces; unwinds its own pins. */
const furnishAndBind = (request: PinRequest): void => {
  if (request.namespaces.some(({ kind }) => kind === "net")) bringLoopbackUp()
  if (request.hostname !== undefined) sethostname(request.hostname)
  for (const { path, value } of request.sysctls) writeFileSync(`/proc/sys/${path}`, value, { flag: "r+" })
  const bound: Array<string> = []
  try {
    for (const { kind, path } of request.namespaces) {
      mount(ownNamespace(kind), path, null, MS_BIND, null)
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

export const pin = (request: PinRequest): void => {
  check(request)
  const origins = new Map<PinnedKind, Fd>()
  try {
    for (const { kind } of request.namespaces) origins.set(kind, openSync(ownNamespace(kind), O_RDONLY))
    unshare([...origins.keys()].reduce((flags, kind) => flags | cloneFlags[kind], 0))
    try {
      furnishAndBind(request)
    } finally {
      goBack(origins)
    }
  } finally {
    for (const fd of origins.values()) closeSync(fd)
  }
}
