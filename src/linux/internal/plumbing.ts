/** What a child finds at its descriptors, and what we hold of it: pipes, files in memory, a terminal. */
import { fstatSync, readSync, writeSync } from "node:fs"
import type { ChildFd, SpawnRequest } from "../Processes.ts"
import { close, dupAbove, type Fd, pipe } from "./native.ts"
import { memoryFile, openTerminal } from "./nativeSockets.ts"
import { type Inlet, makeInlet, makeOutlet, type Outlet } from "./pipes.ts"
import { makeTerminal, type OwnedTerminal } from "./terminal.ts"

// Above this number are the sources of a child's descriptors, so that no dup2(2) overwrites one that is still needed.
export const firstSource = 64

/** Our ends of what a child gets, and the descriptors that it gets. */
export class Plumbing {
  readonly outlets = new Map<number, Outlet>()
  readonly inlets = new Map<number, Inlet>()
  readonly files = new Map<number, Fd>()
  terminal: OwnedTerminal | undefined
  /** For the child, in its order. */
  readonly sources: Array<Fd | { readonly terminal: Fd } | null> = []
  private slave: Fd | undefined

  constructor({ path, fds }: SpawnRequest) {
    try {
      for (const [index, kind] of fds.entries()) this.sources.push(this.source(index, kind, path))
    } catch (error) {
      this.closeSources()
      this.release()
      throw error
    }
  }

  private source(index: number, kind: ChildFd, path: string): Fd | { readonly terminal: Fd } | null {
    const subject = `descriptor ${index} of ${path}`
    if (kind === "null") return null
    if (kind === "terminal") return { terminal: this.openSlave(`terminal of ${path}`) }
    if (typeof kind === "object") {
      const file = memoryFile("cricket")
      this.files.set(index, file)
      for (let done = 0; done < kind.file.length;) done += writeSync(file, kind.file, done)
      return dupAbove(file, firstSource)
    }
    const [reader, writer] = pipe()
    if (kind === "input") this.inlets.set(index, makeInlet(writer, subject))
    else this.outlets.set(index, makeOutlet(reader, subject))
    return raise(kind === "input" ? reader : writer)
  }

  private openSlave(subject: string): Fd {
    if (this.slave === undefined) {
      const { master, slave } = openTerminal()
      this.terminal = makeTerminal(master, subject)
      this.slave = raise(slave)
    }
    return this.slave
  }

  /** Once the child has them, or never will. */
  closeSources(): void {
    for (const source of this.sources) if (typeof source === "number") close(source)
    if (this.slave !== undefined) close(this.slave)
  }

  release(): void {
    for (const end of [...this.outlets.values(), ...this.inlets.values()]) end.release()
    for (const file of this.files.values()) close(file)
    this.files.clear()
    this.terminal?.release()
  }
}

const raise = (fd: Fd): Fd => {
  try {
    return dupAbove(fd, firstSource)
  } finally {
    close(fd)
  }
}

/** All of a file of our own, from its beginning. */
export const readFrom = (file: Fd): Uint8Array => {
  const bytes = Buffer.alloc(fstatSync(file).size)
  let done = 0
  for (let read = -1; done < bytes.length && read !== 0; done += read) {
    read = readSync(file, bytes, done, bytes.length - done, done)
  }
  return bytes.subarray(0, done)
}
