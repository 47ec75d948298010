/** Inodes of the simulated file systems, each with what of it would survive a loss of power. */
import type { FileKind } from "../../src/linux/Files.ts"
import { Errno } from "./Errno.ts"
import type { Pipe } from "./Pipe.ts"
import type { Listener, Pty } from "./Wire.ts"

/** One file system: what stat calls a device. */
export interface FileSystem {
  readonly device: number
  readonly type: string
  /** True for what lives in memory: gone after a reboot. */
  readonly volatile: boolean
  nextInode: number
  readonly nowMs: () => number
}

export const empty = new Uint8Array(0)

export abstract class Node {
  abstract readonly kind: FileKind
  readonly fs: FileSystem
  readonly inode: number
  mode: number
  uid = 0
  gid = 0
  modifiedMs: number
  constructor(fs: FileSystem, mode: number) {
    this.fs = fs
    this.inode = fs.nextInode++
    this.mode = mode
    this.modifiedMs = fs.nowMs()
  }
  touch(): void {
    this.modifiedMs = this.fs.nowMs()
  }
}

/** A regular file. Data is never changed in place, so the durable copy is a second reference. */
export class FileNode extends Node {
  readonly kind = "file"
  data: Uint8Array = empty
  durable: Uint8Array = empty
  sync(): void {
    this.durable = this.data
  }
  read(): Uint8Array {
    return this.data
  }
  write(offset: number, bytes: Uint8Array): void {
    const next = new Uint8Array(Math.max(this.data.length, offset + bytes.length))
    next.set(this.data)
    next.set(bytes, offset)
    this.data = next
    this.touch()
  }
  replace(bytes: Uint8Array): void {
    this.data = bytes
    this.touch()
  }
}

/** A file whose content is computed: /proc, /sys, cgroup control files. */
export class DynamicFile extends Node {
  readonly kind = "file"
  readonly get: () => string
  readonly set: ((value: string) => void) | undefined
  constructor(fs: FileSystem, get: () => string, set?: (value: string) => void) {
    super(fs, set === undefined ? 0o444 : 0o644)
    this.get = get
    this.set = set
  }
}

export class SymlinkNode extends Node {
  readonly kind = "symlink"
  private readonly text: string
  constructor(fs: FileSystem, target: string) {
    super(fs, 0o777)
    this.text = target
  }
  get target(): string {
    return this.text
  }
}

/** /proc/PID/ns/net and its kin: opening it reaches the object itself, whatever the text says. */
export class MagicLink extends Node {
  readonly kind = "symlink"
  readonly text: () => string
  readonly node: () => Node
  constructor(fs: FileSystem, text: () => string, node: () => Node) {
    super(fs, 0o777)
    this.text = text
    this.node = node
  }
}

export class FifoNode extends Node {
  readonly kind = "fifo"
  /** Present while somebody reads. */
  pipe: Pipe | undefined
}

export class SocketNode extends Node {
  readonly kind = "socket"
  /** Present while somebody listens. */
  listener: Listener | undefined
  /** Takes the terminal that is sent to it (SCM_RIGHTS). */
  receive: ((terminal: Pty) => void) | undefined
}

export class DeviceNode extends Node {
  readonly kind: "character" | "block"
  readonly specialDevice: number
  constructor(fs: FileSystem, kind: "character" | "block", mode: number, specialDevice: number) {
    super(fs, mode)
    this.kind = kind
    this.specialDevice = specialDevice
  }
}

/** A namespace as a file: what a pin or /proc/PID/ns/X leads to. */
export class NamespaceNode extends Node {
  readonly kind = "file"
  readonly namespaceKind: string
  constructor(fs: FileSystem, namespaceKind: string) {
    super(fs, 0o444)
    this.namespaceKind = namespaceKind
  }
}

export abstract class Directory extends Node {
  readonly kind = "directory"
  /** trusted.overlay.opaque="y": hides what lies below. */
  opaque = false
  abstract get(name: string): Node | undefined
  abstract names(): Array<string>
  /** Adds or replaces a name. */
  abstract put(name: string, node: Node): void
  abstract drop(name: string): void
  /** Makes the node behind a name writable (an overlay copies it up) and answers it. */
  writable(name: string): Node {
    return this.get(name) as Node
  }
  /** The file system in which new nodes of this directory are made. */
  home(): FileSystem {
    return this.fs
  }
  sync(): void {}
}

export class DiskDirectory extends Directory {
  entries = new Map<string, Node>()
  durable = new Map<string, Node>()
  get(name: string): Node | undefined {
    return this.entries.get(name)
  }
  names(): Array<string> {
    return [...this.entries.keys()]
  }
  put(name: string, node: Node): void {
    this.entries.set(name, node)
    this.touch()
  }
  drop(name: string): void {
    this.entries.delete(name)
    this.touch()
  }
  override sync(): void {
    this.durable = new Map(this.entries)
  }
}

/** Directories that make what is created in them themselves (cgroup file systems). */
export abstract class SelfMakingDirectory extends Directory {
  abstract make(name: string): Directory
  abstract remove(name: string): void
}

/** A directory of /proc or of a cgroup file system: its names are made by the kernel. */
export class DynamicDirectory extends Directory {
  private readonly lookup: (name: string) => Node | undefined
  private readonly list: () => Array<string>
  constructor(fs: FileSystem, lookup: (name: string) => Node | undefined, list: () => Array<string>) {
    super(fs, 0o555)
    this.lookup = lookup
    this.list = list
  }
  get(name: string): Node | undefined {
    return this.lookup(name)
  }
  names(): Array<string> {
    return this.list()
  }
  put(): void {
    throw new Errno("EACCES")
  }
  drop(): void {
    throw new Errno("EPERM")
  }
}

/** What a power loss leaves: content as of the last sync; names as of the last sync, or all of them ("content"). */
export type Loss = "all" | "content" | "nothing"

export const losePower = (directory: DiskDirectory, loss: Loss): void => {
  if (loss === "nothing") return
  if (loss === "all") directory.entries = new Map(directory.durable)
  for (const node of directory.entries.values()) {
    if (node instanceof FileNode) node.data = node.durable
    else if (node instanceof DiskDirectory) losePower(node, loss)
  }
  directory.durable = new Map(directory.entries)
}

/** What a power loss would leave, as a text: losses that leave the same are the same. */
export const survivors = (directory: DiskDirectory, loss: Loss): string => {
  const entries = loss === "all" ? directory.durable : directory.entries
  const lines: Array<string> = []
  for (const name of [...entries.keys()].toSorted()) lines.push(`${name} ${survivor(entries.get(name) as Node, loss)}`)
  return `${directory.opaque ? "opaque" : ""}{${lines.join(",")}}`
}

const survivor = (node: Node, loss: Loss): string => {
  const attributes = `${node.kind} ${node.mode} ${node.uid} ${node.gid}`
  if (node instanceof DiskDirectory) return `${attributes} ${survivors(node, loss)}`
  if (node instanceof FileNode) return `${attributes} ${Buffer.from(node.durable).toString("latin1")}`
  return node instanceof SymlinkNode ? `${attributes} ${node.target}` : attributes
}

/** Declares everything as it is now durable: how a world starts, and what sync(2) does. */
export const makeDurable = (directory: DiskDirectory): void => {
  directory.sync()
  for (const node of directory.entries.values()) {
    if (node instanceof FileNode) node.sync()
    else if (node instanceof DiskDirectory) makeDurable(node)
  }
}
