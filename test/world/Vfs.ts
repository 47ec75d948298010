/** System calls on files of the simulated kernel. All are synchronous and throw Errno. */
import type { DirectoryEntry, FileStat } from "../../src/linux/Files.ts"
import { Errno } from "./Errno.ts"
import { MountTable, type MakeFileSystem } from "./MountTable.ts"
import {
  DeviceNode,
  Directory,
  DiskDirectory,
  DynamicDirectory,
  DynamicFile,
  FifoNode,
  FileNode,
  MagicLink,
  NamespaceNode,
  SelfMakingDirectory,
  SymlinkNode,
  empty,
  type Node
} from "./Node.ts"
import { OpenNode, contentOf, setDynamic } from "./OpenNode.ts"
import { Pipe, PipeEnd } from "./Pipe.ts"
import { Paths, pathOf, type Location, type Slot } from "./Paths.ts"

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export class Vfs {
  readonly paths = new Paths()
  readonly table: MountTable
  /** Watches by directory: called with the name that appeared, changed or went, or undefined when the directory goes. */
  private readonly watchers = new Map<Node, Set<(name: string | undefined) => void>>()

  constructor(make: MakeFileSystem) {
    this.table = new MountTable(this.paths, make)
  }

  // Reading

  read(path: string, maxBytes = Number.POSITIVE_INFINITY): Uint8Array {
    return this.readNode(this.paths.find(path, { follow: true }).node, maxBytes)
  }

  readInRoot(root: string, path: string, maxBytes = Number.POSITIVE_INFINITY): Uint8Array {
    const top = this.paths.find(root, { follow: true })
    if (!(top.node instanceof Directory)) throw new Errno("ENOTDIR")
    const node = this.paths.find(path, { follow: true, noMagic: true }, top, top).node
    if (!(node instanceof FileNode)) throw new Errno(node instanceof Directory ? "EISDIR" : "EINVAL")
    return this.readNode(node, maxBytes)
  }

  resolveInRoot(root: string, path: string): string {
    const top = this.paths.find(root, { follow: true })
    if (!(top.node instanceof Directory)) throw new Errno("ENOTDIR")
    return pathOf(this.paths.find(path, { follow: true, noMagic: true }, top, top))
  }

  readText(path: string): string {
    return decoder.decode(this.read(path))
  }

  exists(path: string): boolean {
    try {
      this.paths.find(path, { follow: false })
      return true
    } catch {
      return false
    }
  }

  list(path: string): Array<string> {
    return this.directory(path).names().sort()
  }

  entries(path: string): Array<DirectoryEntry> {
    const directory = this.directory(path)
    return directory
      .names()
      .sort()
      .flatMap((name) => {
        const node = directory.get(name)
        return node === undefined ? [] : [{ name, kind: node.kind }]
      })
  }

  stat(path: string, follow: boolean): FileStat {
    const { node, mount } = this.paths.find(path, { follow })
    const plain = node instanceof FileNode || node instanceof SymlinkNode
    return {
      kind: node.kind,
      mode: node.mode & 0o7777,
      uid: node.uid,
      gid: node.gid,
      size: plain ? (node instanceof FileNode ? node.data.length : node.target.length) : 0,
      inode: node.inode,
      device: node instanceof NamespaceNode ? node.fs.device : mount.fs.device,
      specialDevice: node instanceof DeviceNode ? node.specialDevice : 0,
      modifiedMs: node.modifiedMs
    }
  }

  readLink(path: string): string {
    const { node } = this.paths.find(path, { follow: false })
    if (node instanceof SymlinkNode) return node.target
    if (node instanceof MagicLink) return node.text()
    throw new Errno("EINVAL")
  }

  realPath(path: string): string {
    return pathOf(this.paths.find(path, { follow: true }))
  }

  // Making

  open(path: string, mode: "read" | "write" | "create" | "truncate" | "append", permissions = 0o644): OpenNode {
    const slot = this.paths.slot(path, { follow: mode !== "create" })
    if (mode === "create" && slot.found !== undefined) throw new Errno("EEXIST")
    if (slot.found === undefined && (mode === "read" || mode === "write")) throw new Errno("ENOENT")
    if (slot.found?.node instanceof Directory) {
      throw new Errno("EISDIR")
    }
    const location = slot.found === undefined ? this.create(slot, permissions) : slot.found
    const node = mode === "read" ? location.node : this.writableNode(slot, location)
    if (!(node instanceof FileNode) && !(node instanceof DynamicFile)) throw new Errno("EINVAL")
    if (mode === "truncate" && node instanceof FileNode && node.data.length > 0) node.replace(empty)
    return new OpenNode((at) => this.notify(at), { ...location, node }, node, mode === "append")
  }

  /** Writes a whole file, as a program does with O_TRUNC. */
  write(path: string, data: string | Uint8Array, permissions = 0o644): void {
    this.open(path, "truncate", permissions).write(typeof data === "string" ? encoder.encode(data) : data)
  }

  append(path: string, data: string): void {
    this.open(path, "append").write(encoder.encode(data))
  }

  writeExisting(path: string, data: string): void {
    const slot = this.paths.slot(path, { follow: true })
    if (slot.found === undefined) throw new Errno("ENOENT")
    const node = this.writableNode(slot, slot.found)
    if (node instanceof FifoNode) {
      if (node.pipe === undefined || node.pipe.readers === 0) throw new Errno("ENXIO")
      node.pipe.push(encoder.encode(data))
    } else if (node instanceof DynamicFile) setDynamic(node, data)
    else if (node instanceof FileNode) node.write(0, encoder.encode(data))
    else throw new Errno(node instanceof Directory ? "EISDIR" : "ENXIO")
    this.notify(slot.found)
  }

  attendFifo(path: string): PipeEnd {
    const { node } = this.paths.find(path, { follow: false })
    if (!(node instanceof FifoNode)) throw new Errno(node instanceof SymlinkNode ? "ELOOP" : "EINVAL")
    node.pipe ??= new Pipe()
    return new PipeEnd(node.pipe, "read")
  }

  makeDirectory(path: string, mode = 0o755): void {
    const slot = this.paths.slot(path, { follow: false })
    if (slot.found !== undefined) throw new Errno("EEXIST")
    this.writableMount(slot.parent)
    if (slot.directory instanceof SelfMakingDirectory) slot.directory.make(slot.name)
    else slot.directory.put(slot.name, new DiskDirectory(slot.directory.home(), mode))
    this.notifyName(slot)
  }

  makeDirectories(path: string, mode = 0o755): void {
    const parts = path.split("/").filter((part) => part !== "")
    let at = ""
    for (const part of parts) {
      at = `${at}/${part}`
      const slot = this.paths.slot(at, { follow: true })
      if (slot.found === undefined) this.makeDirectory(at, mode)
      else if (!(slot.found.node instanceof Directory)) {
        throw new Errno(at.length === path.replace(/\/+$/, "").length ? "EEXIST" : "ENOTDIR")
      }
    }
  }

  makeDirectoryInRoot(root: string, path: string, mode: number, uid: number, gid: number): void {
    const top = this.paths.find(root, { follow: true })
    if (!(top.node instanceof Directory)) throw new Errno("ENOTDIR")
    const names = path.split("/")
    let at = top
    let links = 40
    for (let name = names.shift(); name !== undefined; name = names.shift()) {
      if (name === "" || name === ".") continue
      const slot = this.paths.slot(name, { follow: false, noMagic: true }, at, top)
      if (slot.found === undefined) {
        this.writableMount(slot.parent)
        const made = new DiskDirectory(slot.directory.home(), mode)
        made.uid = uid
        made.gid = gid
        slot.directory.put(slot.name, made)
        at = this.paths.find(name, { follow: false }, at, top)
      } else if (slot.found.node instanceof SymlinkNode) {
        if (links-- === 0) throw new Errno("ELOOP")
        const { target } = slot.found.node
        if (target.startsWith("/")) at = top
        names.unshift(...target.split("/"))
      } else if (slot.found.node instanceof Directory) at = slot.found
      else throw new Errno("ENOTDIR")
    }
  }

  link(existing: string, path: string): void {
    const source = this.paths.find(existing, { follow: false })
    if (source.node instanceof Directory) throw new Errno("EPERM")
    const slot = this.free(path)
    if (slot.parent.mount !== source.mount) throw new Errno("EXDEV")
    slot.directory.put(slot.name, source.node)
    this.notifyName(slot)
  }

  place(path: string, make: (directory: Directory) => Node): void {
    const slot = this.free(path)
    slot.directory.put(slot.name, make(slot.directory))
    this.notifyName(slot)
  }

  symlink(target: string, path: string): void {
    this.place(path, (directory) => new SymlinkNode(directory.home(), target))
  }

  makeFifo(path: string, mode: number): FifoNode {
    this.place(path, (directory) => new FifoNode(directory.home(), mode))
    return this.paths.find(path, { follow: false }).node as FifoNode
  }

  // Changing and removing

  rename(from: string, to: string): void {
    const source = this.named(from)
    const target = this.paths.slot(to, { follow: false })
    if (source.parent.mount !== target.parent.mount) throw new Errno("EXDEV")
    this.writableMount(source.parent)
    const moving = source.found.node
    if (this.table.isMountPoint(source.parent.mount, source.directory.get(source.name) as Node))
      throw new Errno("EBUSY")
    if (target.found !== undefined) {
      if (target.found.node === moving) return
      if (target.found.mount !== target.parent.mount) throw new Errno("EBUSY")
      if (target.found.node instanceof Directory) {
        if (!(moving instanceof Directory)) throw new Errno("EISDIR")
        if (target.found.node.names().length > 0) throw new Errno("ENOTEMPTY")
      } else if (moving instanceof Directory) throw new Errno("ENOTDIR")
    }
    for (let at: Location | undefined = target.parent; at !== undefined; at = at.up) {
      if (at.node === moving) throw new Errno("EINVAL")
    }
    const node = source.directory.writable(source.name)
    source.directory.drop(source.name)
    target.directory.put(target.name, node)
    this.notifyName(source)
    this.notifyName(target)
  }

  removeFile(path: string): void {
    const slot = this.named(path)
    if (slot.found.mount !== slot.parent.mount) throw new Errno("EBUSY")
    if (slot.found.node instanceof Directory) throw new Errno("EISDIR")
    this.writableMount(slot.parent)
    slot.directory.drop(slot.name)
    this.notifyName(slot)
  }

  removeDirectory(path: string): void {
    const slot = this.named(path)
    if (slot.found.mount !== slot.parent.mount) throw new Errno("EBUSY")
    const { node } = slot.found
    if (!(node instanceof Directory)) throw new Errno("ENOTDIR")
    this.writableMount(slot.parent)
    if (slot.directory instanceof SelfMakingDirectory) slot.directory.remove(slot.name)
    else {
      if (node.names().length > 0) throw new Errno("ENOTEMPTY")
      slot.directory.drop(slot.name)
    }
    this.gone(node)
    this.notifyName(slot)
  }

  /** Paths of a tree, children before parents; refuses to cross a mount. */
  *treeUpwards(path: string): Generator<{ readonly path: string; readonly directory: boolean }> {
    const location = this.paths.find(path, { follow: false })
    const { node } = location
    if (node instanceof Directory) {
      if (node === location.mount.root && location.up !== undefined) throw new Errno("EBUSY")
      // Control files of a cgroup go with their directory.
      const names =
        node instanceof DynamicDirectory || node instanceof SelfMakingDirectory ? subdirectories(node) : node.names()
      for (const name of names.sort()) yield* this.treeUpwards(`${path}/${name}`)
      yield { path, directory: true }
    } else {
      if (node === location.mount.root) throw new Errno("EBUSY")
      yield { path, directory: false }
    }
  }

  chmod(path: string, mode: number): void {
    const slot = this.paths.slot(path, { follow: true })
    if (slot.found === undefined) throw new Errno("ENOENT")
    this.writableNode(slot, slot.found).mode = mode
    this.notify(slot.found)
  }

  chown(path: string, uid: number, gid: number): void {
    const slot = this.paths.slot(path, { follow: true })
    if (slot.found === undefined) throw new Errno("ENOENT")
    const node = this.writableNode(slot, slot.found)
    node.uid = uid
    node.gid = gid
  }

  directory(path: string): Directory {
    const { node } = this.paths.find(path, { follow: true })
    if (!(node instanceof Directory)) throw new Errno("ENOTDIR")
    return node
  }

  // Watching

  watch(node: Node, listener: (name: string | undefined) => void): () => void {
    const listeners = this.watchers.get(node) ?? new Set()
    this.watchers.set(node, listeners.add(listener))
    return () => {
      listeners.delete(listener)
      if (listeners.size === 0) this.watchers.delete(node)
    }
  }

  notify(location: Location): void {
    if (location.up !== undefined) this.tell(location.up.node, location.name)
  }

  private notifyName(slot: Slot): void {
    this.tell(slot.directory, slot.name)
  }

  private tell(directory: Node, name: string): void {
    for (const listener of Array.from(this.watchers.get(directory) ?? [])) listener(name)
  }

  private gone(directory: Node): void {
    for (const listener of Array.from(this.watchers.get(directory) ?? [])) listener(undefined)
    this.watchers.delete(directory)
  }

  private readNode(node: Node, maxBytes: number): Uint8Array {
    if (node instanceof Directory) throw new Errno("EISDIR")
    if (!(node instanceof FileNode) && !(node instanceof DynamicFile)) throw new Errno("EINVAL")
    const data = contentOf(node)
    if (data.length > maxBytes) throw new Errno("EFBIG")
    return data
  }

  private create(slot: Slot, permissions: number): Location {
    this.writableMount(slot.parent)
    if (slot.directory instanceof SelfMakingDirectory) throw new Errno("EACCES")
    const node = new FileNode(slot.directory.home(), permissions)
    slot.directory.put(slot.name, node)
    this.notifyName(slot)
    return { mount: slot.parent.mount, node, name: slot.name, up: slot.parent }
  }

  private free(path: string): Slot {
    const slot = this.paths.slot(path, { follow: false })
    if (slot.found !== undefined) throw new Errno("EEXIST")
    this.writableMount(slot.parent)
    return slot
  }

  private named(path: string): Slot & { readonly found: Location } {
    const slot = this.paths.slot(path, { follow: false })
    if (slot.found === undefined) throw new Errno("ENOENT")
    if (slot.name === "") throw new Errno(slot.found.up === undefined ? "EBUSY" : "EINVAL")
    return { ...slot, found: slot.found }
  }

  private writableNode(slot: Slot, location: Location): Node {
    this.writableMount(location)
    return location.mount === slot.parent.mount && slot.name !== "" ? slot.directory.writable(slot.name) : location.node
  }

  private writableMount(location: Location): void {
    if (location.mount.options.includes("ro")) throw new Errno("EROFS")
  }
}

const subdirectories = (directory: Directory): Array<string> =>
  directory.names().filter((name) => directory.get(name) instanceof Directory)
