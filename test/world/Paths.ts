/** Path resolution of the simulated kernel: directories, links, mount points, roots. */
import { Errno } from "./Errno.ts"
import { Directory, MagicLink, SymlinkNode, type FileSystem, type Node } from "./Node.ts"

/** One line of the mount table. */
export interface Mount {
  readonly id: number
  readonly parent: Mount | undefined
  /** The node that the mount hides; undefined for the root mount. */
  readonly covers: Node | undefined
  readonly root: Node
  /** Path of `root` within its file system. */
  readonly rootPath: string
  readonly target: string
  readonly fs: FileSystem
  readonly source: string
  readonly superOptions: ReadonlyArray<string>
  options: ReadonlyArray<string>
  propagation: ReadonlyArray<string>
}

/** A node as it was reached: `up` is the directory that names it. */
export interface Location {
  readonly mount: Mount
  readonly node: Node
  readonly name: string
  readonly up: Location | undefined
}

/** A name in a directory, whether or not anything has it. */
export interface Slot {
  readonly parent: Location
  readonly directory: Directory
  readonly name: string
  readonly found: Location | undefined
}

export interface WalkOptions {
  readonly follow: boolean
  /** RESOLVE_NO_MAGICLINKS. */
  readonly noMagic?: boolean
}

export const pathOf = (location: Location): string => {
  const names: Array<string> = []
  for (let at = location; at.up !== undefined; at = at.up) names.push(at.name)
  return `/${names.reverse().join("/")}`
}

interface ParsedPath {
  readonly names: ReadonlyArray<string>
  readonly mustBeDirectory: boolean
}

/** The same paths come again and again, run after run: each is taken apart once, and its names are hashed once. */
const parsedPaths = new Map<string, ParsedPath>()
const parsedPathsKept = 20_000

const parse = (path: string): ParsedPath => {
  const known = parsedPaths.get(path)
  if (known !== undefined) return known
  if (path === "") throw new Errno("ENOENT")
  if (path.length > 4095) throw new Errno("ENAMETOOLONG")
  if (parsedPaths.size >= parsedPathsKept) parsedPaths.clear()
  const made = { names: path.split("/").filter((name) => name !== ""), mustBeDirectory: path.endsWith("/") }
  parsedPaths.set(path, made)
  return made
}

export class Paths {
  /** Mounts in mount order. */
  mounts: ReadonlyArray<Mount> = []
  private readonly over = new Map<Node, ReadonlyArray<Mount>>()
  private nextMountId = 20
  private top: Location | undefined

  add(mount: Omit<Mount, "id">): Mount {
    const made = { ...mount, id: this.nextMountId++ }
    this.top ??= { mount: made, node: made.root, name: "", up: undefined }
    this.mounts = [...this.mounts, made]
    if (made.covers !== undefined) this.over.set(made.covers, [...(this.over.get(made.covers) ?? []), made])
    return made
  }

  removeMounts(gone: ReadonlySet<Mount>): void {
    this.mounts = this.mounts.filter((mount) => !gone.has(mount))
    for (const { covers } of gone) {
      if (covers === undefined) continue
      const left = (this.over.get(covers) ?? []).filter((mount) => !gone.has(mount))
      if (left.length === 0) this.over.delete(covers)
      else this.over.set(covers, left)
    }
  }

  get root(): Location {
    if (this.top === undefined) throw new Error("no root mount")
    return this.top
  }

  /** Steps onto what is mounted over a location, however often. */
  cross(location: Location): Location {
    let at = location
    for (;;) {
      const over = this.over.get(at.node)?.findLast((mount) => mount.parent === at.mount)
      if (over === undefined) return at
      at = { ...at, mount: over, node: over.root }
    }
  }

  /** The directory and last name of a path. "." and ".." as last name have a slot of their own kind: `found` without name. */
  slot(path: string, options: WalkOptions, from: Location = this.root, root: Location = this.root): Slot {
    const walk = { budget: 40 }
    return this.walk(path.startsWith("/") ? root : from, path, options, root, walk)
  }

  find(path: string, options: WalkOptions, from?: Location, root?: Location): Location {
    const slot = this.slot(path, options, from, root)
    if (slot.found === undefined) throw new Errno("ENOENT")
    return slot.found
  }

  private walk(start: Location, path: string, options: WalkOptions, root: Location, state: { budget: number }): Slot {
    const { names, mustBeDirectory } = parse(path)
    let at = start
    let slot: Slot | undefined
    for (let index = 0; index < names.length; index++) {
      const name = names[index] as string
      const last = index === names.length - 1
      if (!(at.node instanceof Directory)) throw new Errno("ENOTDIR")
      if (name.length > 255) throw new Errno("ENAMETOOLONG")
      if (name === "." || name === "..") {
        if (name === ".." && !same(at, root)) at = at.up ?? at
        slot = undefined
        continue
      }
      const directory = at.node
      const node = directory.get(name)
      if (node === undefined) {
        if (!last) throw new Errno("ENOENT")
        return { parent: at, directory, name, found: undefined }
      }
      let found = this.cross({ mount: at.mount, node, name, up: at })
      slot = { parent: at, directory, name, found }
      const follow = !last || options.follow || mustBeDirectory
      if (follow && found.node instanceof MagicLink) {
        if (options.noMagic === true) throw new Errno("ELOOP")
        found = this.cross({ mount: at.mount, node: found.node.node(), name, up: at })
        slot = { parent: at, directory, name, found }
      } else if (follow && found.node instanceof SymlinkNode) {
        if (state.budget-- <= 0) throw new Errno("ELOOP")
        const target = found.node.target
        slot = this.walk(target.startsWith("/") ? root : at, target, { ...options, follow: true }, root, state)
        if (slot.found === undefined) {
          if (last) return slot
          throw new Errno("ENOENT")
        }
        found = slot.found
      }
      at = found
    }
    if (mustBeDirectory && !(at.node instanceof Directory)) throw new Errno("ENOTDIR")
    if (slot !== undefined) return slot
    const up = at.up ?? at
    return { parent: up, directory: up.node as Directory, name: "", found: at }
  }
}

const same = (a: Location, b: Location): boolean => a.mount === b.mount && a.node === b.node
