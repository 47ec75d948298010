/**
 * Makes a layer's files below one directory. Every path is resolved by the kernel with that directory as its root
 * (openat2 RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS), parents first, then a single name is made in the parent's
 * descriptor without following it: whatever links the archive makes, they lead nowhere else. The result is what
 * containers/storage's overlay driver makes of the same archive.
 */
import { chmodSync, closeSync, fstatSync, ftruncateSync, openSync, readdirSync, writeSync } from "node:fs"
import { ArchiveError, type UnpackLimits } from "./limits.ts"
import * as native from "./native.ts"
import { componentsOf, whiteoutOf } from "./path.ts"
import type { TarEntry } from "./TarReader.ts"

const CACHED_PARENTS = 128
const MAX_ID = 0xffff_fffe
const OPAQUE = "trusted.overlay.opaque"
const yes = Buffer.from("y")
const parentFlags = native.O_PATH | native.O_DIRECTORY
const createFlags = native.O_WRONLY | native.O_CREAT | native.O_EXCL | native.O_NOFOLLOW

/**
 * Attributes that an archive may not set: overlay's own would redirect or hide what lies in other layers, and a
 * SELinux label belongs to the machine that made the archive.
 */
const isForbiddenXattr = (name: string): boolean =>
  name === "security.selinux" || name.startsWith("trusted.overlay.") || name.startsWith("user.overlay.")

/** Access is never earlier than modification; times before 1970 become 1970. */
const timesOf = (entry: TarEntry): native.Times => {
  const { seconds, nanoseconds } = entry.modified
  if (seconds < 0) return native.times(0, 0, 0)
  return native.times(Math.max(seconds, entry.accessed?.seconds ?? 0), seconds, nanoseconds)
}

interface OpenFile {
  readonly fd: number
  readonly entry: TarEntry
  position: number
  fragment: number
  /** Bytes left in the current fragment of a sparse file. */
  left: number
}

export class LayerWriter {
  readonly #root: number
  readonly #limits: UnpackLimits
  readonly #parents = new Map<string, number>()
  readonly #directoryTimes = new Map<string, native.Times>()
  #file: OpenFile | undefined
  #closed = false

  constructor(directory: string, limits: UnpackLimits) {
    this.#root = openSync(directory, native.O_DIRECTORY | native.O_NOFOLLOW)
    this.#limits = limits
  }

  begin(entry: TarEntry): void {
    if (entry.type === "g") return
    for (const id of [entry.uid, entry.gid]) {
      if (id < 0 || id > MAX_ID) throw new ArchiveError("", `owner ${id} is out of range`)
    }
    const components = componentsOf(entry.name, this.#limits)
    const name = components.pop()
    if (name === undefined) return this.#rootEntry(entry)
    const whiteout = whiteoutOf(name)
    switch (whiteout.kind) {
      case "ignore":
        return
      case "opaque":
        return native.setXattr(native.fdPath(this.#parent(components)), OPAQUE, yes)
      case "remove":
        return this.#whiteout(components, whiteout.name, entry)
      case "file":
        return this.#make(components, name, entry)
    }
  }

  content(bytes: Buffer): void {
    const file = this.#file
    if (file === undefined) return
    if (file.entry.sparse === undefined) {
      for (let done = 0; done < bytes.length;) done += writeSync(file.fd, bytes, done)
      return
    }
    for (let done = 0; done < bytes.length;) {
      while (file.left === 0) {
        const fragment = file.entry.sparse[file.fragment++]
        if (fragment === undefined) throw new ArchiveError("", "more data than the sparse map has room for")
        file.position = fragment.offset
        file.left = fragment.length
      }
      const count = writeSync(file.fd, bytes, done, Math.min(file.left, bytes.length - done), file.position)
      done += count
      file.position += count
      file.left -= count
    }
  }

  end(): void {
    const file = this.#file
    if (file === undefined) return
    const { fd, entry } = file
    if (entry.sparse !== undefined) ftruncateSync(fd, entry.size)
    // The owner first: changing it clears setuid bits and capabilities.
    native.chown(fd, entry.uid, entry.gid)
    native.chmod(fd, entry.mode)
    this.#xattrs(native.fdPath(fd), entry)
    native.setTimes(fd, timesOf(entry))
    if (entry.dataSize > 0) native.startWriteback(fd)
    this.#file = undefined
    closeSync(fd)
  }

  /** Sets the directories' times, which making their entries had changed, and waits until all is on the disk. */
  finish(): void {
    for (const [path, value] of this.#directoryTimes) {
      let fd: number
      try {
        fd = native.openInRoot(this.#root, path, native.O_DIRECTORY | native.O_NOFOLLOW)
      } catch (error) {
        // A later entry put something else in its place.
        if (native.hasCode(error, "ENOENT", "ENOTDIR", "ELOOP")) continue
        throw error
      }
      native.withFd(fd, (open) => native.setTimes(open, value))
    }
    native.syncFileSystem(this.#root)
    this.close()
  }

  close(): void {
    this.#forgetParents()
    if (this.#file !== undefined) closeSync(this.#file.fd)
    this.#file = undefined
    if (!this.#closed) closeSync(this.#root)
    this.#closed = true
  }

  /** "./" is left alone, as containers/storage does: the layer's own directory has its mode from the store. */
  #rootEntry(entry: TarEntry): void {
    if (entry.name === "" || /^\.(?:\/+\.?)*$/.test(entry.name)) return
    if (entry.type !== "5") throw new ArchiveError("", "would replace the layer's root directory")
    native.chown(this.#root, entry.uid, entry.gid)
    native.chmod(this.#root, entry.mode)
    this.#xattrs(native.fdPath(this.#root), entry)
  }

  #make(components: ReadonlyArray<string>, name: string, entry: TarEntry): void {
    const parent = this.#parent(components)
    switch (entry.type) {
      case "0": {
        const fd = this.#fresh(parent, name, () => native.openAt(parent, name, createFlags, 0o600))
        this.#file = { fd, entry, position: 0, fragment: 0, left: 0 }
        return
      }
      case "5":
        return this.#directory(components, parent, name, entry)
      case "1":
        return this.#hardLink(parent, name, entry)
      case "2":
        this.#fresh(parent, name, () => native.symlinkAt(this.#linkTarget(entry), parent, name))
        native.chownAt(parent, name, entry.uid, entry.gid)
        this.#xattrsOf(parent, name, entry)
        return native.setTimesAt(parent, name, timesOf(entry))
      case "3":
      case "4":
      case "6": {
        const kind = entry.type === "3" ? native.S_IFCHR : entry.type === "4" ? native.S_IFBLK : native.S_IFIFO
        const { deviceMajor: major, deviceMinor: minor } = entry
        if (major < 0 || major > 0xfff || minor < 0 || minor > 0xfffff) {
          throw new ArchiveError("", `device number ${major}:${minor} is out of range`)
        }
        this.#fresh(parent, name, () => native.makeNodeAt(parent, name, kind | 0o600, major, minor))
        return this.#describe(parent, name, entry)
      }
    }
  }

  #linkTarget(entry: TarEntry): string {
    const target = entry.linkName
    if (target === "" || target.length > this.#limits.pathBytes || target.includes("\0")) {
      throw new ArchiveError("", `link target of ${target.length} bytes`)
    }
    return target
  }

  #directory(components: ReadonlyArray<string>, parent: number, name: string, entry: TarEntry): void {
    const open = () => native.openAt(parent, name, native.O_DIRECTORY | native.O_NOFOLLOW)
    let fd: number
    try {
      native.makeDirectoryAt(parent, name, 0o700)
      fd = open()
    } catch (error) {
      if (!native.hasCode(error, "EEXIST")) throw error
      try {
        // A directory that is there already is kept with its content and gets the new attributes.
        fd = open()
      } catch (other) {
        if (!native.hasCode(other, "ENOTDIR", "ELOOP")) throw other
        this.#remove(parent, name)
        native.makeDirectoryAt(parent, name, 0o700)
        fd = open()
      }
    }
    native.withFd(fd, () => {
      native.chown(fd, entry.uid, entry.gid)
      native.chmod(fd, entry.mode)
      this.#xattrs(native.fdPath(fd), entry)
    })
    this.#directoryTimes.set([...components, name].join("/"), timesOf(entry))
  }

  #hardLink(parent: number, name: string, entry: TarEntry): void {
    const target = componentsOf(this.#linkTarget(entry), this.#limits)
    const last = target.pop()
    if (last === undefined) throw new ArchiveError("", "hard link to the layer's root directory")
    // Not from the cache: looking up the target may push the parent's descriptor out of it.
    native.withFd(native.openInRoot(this.#root, target.join("/") || ".", parentFlags), (from) =>
      this.#fresh(parent, name, () => native.linkAt(from, last, parent, name))
    )
    this.#describe(parent, name, entry)
  }

  /** Hides a name of the layers below: a 0:0 character device, unless this layer has something of that name itself. */
  #whiteout(components: ReadonlyArray<string>, name: string, entry: TarEntry): void {
    let parent: number
    try {
      parent = this.#parent(components)
    } catch (error) {
      // The parent itself is hidden already: "rm -rf" leaves whiteouts for the directory and for its entries.
      if (native.hasCode(error, "ENOTDIR")) return
      throw error
    }
    try {
      native.makeNodeAt(parent, name, native.S_IFCHR, 0, 0)
      native.chownAt(parent, name, entry.uid, entry.gid)
    } catch (error) {
      if (!native.hasCode(error, "EEXIST")) throw error
      const fd = native.openAt(parent, name, native.O_PATH | native.O_NOFOLLOW)
      native.withFd(fd, () => {
        if (fstatSync(fd).isDirectory()) native.setXattr(native.fdPath(fd), OPAQUE, yes)
      })
    }
  }

  /** Owner, mode, attributes and times of what has no descriptor to write to: nodes and hard links. */
  #describe(parent: number, name: string, entry: TarEntry): void {
    const fd = native.openAt(parent, name, native.O_PATH | native.O_NOFOLLOW)
    native.withFd(fd, () => {
      const stat = fstatSync(fd)
      // Changing the owner of a file, even to the same, takes its capabilities; a hard link does not bring them again.
      if (stat.uid !== entry.uid || stat.gid !== entry.gid) native.chownPathFd(fd, entry.uid, entry.gid)
      if (stat.isSymbolicLink()) return
      const path = native.fdPath(fd)
      chmodSync(path, entry.mode)
      this.#xattrs(path, entry)
    })
    native.setTimesAt(parent, name, timesOf(entry))
  }

  #xattrsOf(parent: number, name: string, entry: TarEntry): void {
    if (entry.xattrs.length === 0) return
    native.withFd(native.openAt(parent, name, native.O_PATH | native.O_NOFOLLOW), (fd) =>
      this.#xattrs(native.fdPath(fd), entry)
    )
  }

  #xattrs(path: string, entry: TarEntry): void {
    for (const [name, value] of entry.xattrs) {
      if (isForbiddenXattr(name)) continue
      try {
        native.setXattr(path, name, value)
      } catch (error) {
        // The file system knows no attributes of this kind: the image still works without.
        if (!native.hasCode(error, "ENOTSUP", "EOPNOTSUPP")) throw error
      }
    }
  }

  /** Makes something; what stands in its place from an earlier entry is removed first. */
  #fresh<A>(parent: number, name: string, make: () => A): A {
    try {
      return make()
    } catch (error) {
      if (!native.hasCode(error, "EEXIST")) throw error
      this.#remove(parent, name)
      return make()
    }
  }

  #remove(parent: number, name: string): void {
    // `parent` stays open: it is the descriptor in use, and removal below it does not touch it.
    for (const [path, fd] of this.#parents) {
      if (fd === parent) continue
      this.#parents.delete(path)
      closeSync(fd)
    }
    removeTree(parent, name)
  }

  /** O_PATH descriptor of a directory in the layer; missing directories are made, 0755 root. */
  #parent(components: ReadonlyArray<string>): number {
    const path = components.join("/")
    const cached = this.#parents.get(path)
    if (cached !== undefined) {
      this.#parents.delete(path)
      this.#parents.set(path, cached)
      return cached
    }
    const fd = this.#openOrMake(components)
    this.#parents.set(path, fd)
    if (this.#parents.size > CACHED_PARENTS) {
      const [oldest, oldFd] = this.#parents.entries().next().value as [string, number]
      this.#parents.delete(oldest)
      closeSync(oldFd)
    }
    return fd
  }

  #openOrMake(components: ReadonlyArray<string>): number {
    const open = (depth: number) =>
      native.openInRoot(this.#root, components.slice(0, depth).join("/") || ".", parentFlags)
    try {
      return open(components.length)
    } catch (error) {
      if (!native.hasCode(error, "ENOENT")) throw error
    }
    for (let depth = 1; depth <= components.length; depth++) {
      try {
        closeSync(open(depth))
      } catch (error) {
        if (!native.hasCode(error, "ENOENT")) throw error
        const name = components[depth - 1] as string
        native.withFd(open(depth - 1), (parent) => native.makeDirectoryAt(parent, name, 0o755))
        native.withFd(open(depth), (made) => {
          chmodSync(native.fdPath(made), 0o755)
          native.chownPathFd(made, 0, 0)
        })
      }
    }
    return open(components.length)
  }

  #forgetParents(): void {
    for (const fd of this.#parents.values()) closeSync(fd)
    this.#parents.clear()
  }
}

/** Removes a name and all below it, never following a link. */
const removeTree = (parent: number, name: string): void => {
  try {
    return native.unlinkAt(parent, name, false)
  } catch (error) {
    if (native.hasCode(error, "ENOENT")) return
    if (!native.hasCode(error, "EISDIR", "EPERM")) throw error
  }
  native.withFd(native.openAt(parent, name, native.O_DIRECTORY | native.O_NOFOLLOW), (fd) => {
    for (const child of readdirSync(native.fdPath(fd), { encoding: "buffer" })) removeTree(fd, child.toString("latin1"))
  })
  native.unlinkAt(parent, name, true)
}
