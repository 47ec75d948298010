/** mount(2) and umount2(2) of the simulated kernel. */
import type { MountEntry, MountRequest, OverlayRequest } from "../../src/linux/Mounts.ts"
import type { IdMappings } from "../../src/linux/IdMapping.ts"
import { Errno } from "./Errno.ts"
import { Directory, DiskDirectory, NamespaceNode, type FileSystem, type Node } from "./Node.ts"
import { mappedView } from "./MappedNode.ts"
import { OverlayDirectory } from "./Overlay.ts"
import { pathOf, type Location, type Mount, type Paths } from "./Paths.ts"

const propagations = new Set(["private", "slave", "shared", "unbindable"])
const behaviour = ["nosuid", "nodev", "noexec"] as const

const optionsOf = (flags: ReadonlyArray<string>): ReadonlyArray<string> => [
  flags.includes("ro") ? "ro" : "rw",
  ...behaviour.filter((flag) => flags.includes(flag)),
  "relatime"
]

/** Makes the root directory of a new kernel file system of a type ("tmpfs", "proc" …); undefined: no such type. */
export type MakeFileSystem = (type: string) => { readonly fs: FileSystem; readonly root: Directory } | undefined

/** Something that keeps a mount busy while it lives. */
export interface Holder {
  readonly mount: Mount
  readonly alive: () => boolean
}

export class MountTable {
  private readonly paths: Paths
  private readonly make: MakeFileSystem
  /** Open files: a mount with one is busy. */
  private holders: ReadonlyArray<Holder> = []
  constructor(paths: Paths, make: MakeFileSystem) {
    this.paths = paths
    this.make = make
  }

  /** As the real layer does it: the mount, then what a bind cannot take at once, then propagation. */
  mount(request: MountRequest): void {
    const flags: ReadonlyArray<string> = request.flags
    if (Buffer.byteLength(request.data) > 4095) throw new Errno("E2BIG")
    const [propagation, ...more] = flags.filter((flag) => propagations.has(flag))
    // A mount has one kind; refused as a whole, as the real layer does by taking its first steps back.
    if (more.length > 0) throw new Errno("EINVAL")
    if (flags.includes("remount")) this.remount(this.paths.find(request.target, { follow: true }), flags)
    else if (flags.includes("bind") || request.type !== "") this.attach(request, flags)
    else if (propagation === undefined) throw new Errno("EINVAL")
    if (propagation !== undefined) {
      this.propagate(this.paths.find(request.target, { follow: true }), propagation, flags.includes("rec"))
    }
  }

  private attach(request: MountRequest, flags: ReadonlyArray<string>): void {
    const target = this.paths.find(request.target, { follow: true })
    if (flags.includes("bind")) {
      this.bind(this.paths.find(request.source, { follow: true }), target, flags.includes("rec"))
      if (behaviour.some((flag) => flags.includes(flag)) || flags.includes("ro")) {
        this.remount(this.paths.find(request.target, { follow: true }), flags)
      }
      return
    }
    if (request.type === "overlay") return this.overlay(request, target, flags)
    const made = this.make(request.type)
    if (made === undefined) throw new Errno("ENODEV")
    requireDirectory(target)
    const mode = /(?:^|,)mode=([0-7]+)/.exec(request.data)?.[1]
    if (mode !== undefined) made.root.mode = Number.parseInt(mode, 8)
    this.add(target, made.root, "/", made.fs, request.source, optionsOf(flags), request.data)
  }

  /** Binds a node over a location: bind mounts and namespace pins. */
  bind(source: Location, target: Location, recursive: boolean): void {
    if (source.node instanceof Directory !== target.node instanceof Directory) throw new Errno("ENOTDIR")
    const mount = source.mount
    const rootPath =
      source.node instanceof NamespaceNode
        ? `${source.node.namespaceKind}:[${source.node.inode}]`
        : pathOf(source) === mount.target
          ? mount.rootPath
          : `${mount.rootPath === "/" ? "" : mount.rootPath}${pathOf(source).slice(mount.target === "/" ? 0 : mount.target.length)}`
    const below = recursive ? this.below(pathOf(source)).filter((child) => child !== mount) : []
    const fs = source.node instanceof NamespaceNode ? source.node.fs : mount.fs
    const made = this.add(target, source.node, rootPath, fs, mount.source, mount.options, mount.superOptions.join(","))
    const clones = new Map<Mount, Mount>([[mount, made]])
    for (const child of below) {
      const parent = child.parent === undefined ? undefined : clones.get(child.parent)
      if (parent === undefined) continue
      const moved = `${made.target}${child.target.slice(pathOf(source).length)}`
      clones.set(child, this.paths.add({ ...child, parent, target: moved }))
    }
  }

  /** File systems of which a mount can have mapped ids. */
  canMap(source: string): boolean {
    return ["ext4", "tmpfs"].includes(this.paths.find(source, { follow: true }).mount.fs.type)
  }

  bindMapped(source: string, target: string, mappings: IdMappings): void {
    if (!this.canMap(source)) throw new Errno("EINVAL")
    const found = this.paths.find(source, { follow: true })
    this.bind({ ...found, node: mappedView(mappings)(found.node) }, this.paths.find(target, { follow: true }), false)
  }

  unmount(path: string, detach: boolean): void {
    const target = this.paths.find(path, { follow: false })
    const { mount } = target
    if (target.node !== mount.root || mount.parent === undefined) throw new Errno("EINVAL")
    const children = this.descendants(mount)
    const held = [mount, ...children].some((each) =>
      this.holders.some((holder) => holder.mount === each && holder.alive())
    )
    if ((children.length > 0 || held) && !detach) throw new Errno("EBUSY")
    this.paths.removeMounts(new Set([mount, ...children]))
  }

  /** The answer lets go. */
  hold(mount: Mount, alive: () => boolean): () => void {
    const holder = { mount, alive }
    this.holders = [...this.holders, holder]
    return () => {
      this.holders = this.holders.filter((each) => each !== holder)
    }
  }

  below(path: string): ReadonlyArray<Mount> {
    const prefix = path.endsWith("/") ? path : `${path}/`
    return this.paths.mounts.filter((mount) => mount.target === path || mount.target.startsWith(prefix))
  }

  /** True when a node is a mount point somewhere, so that its name cannot go. */
  isMountPoint(mount: Mount, node: Node): boolean {
    return this.paths.mounts.some((each) => each.parent === mount && each.covers === node)
  }

  entries(): ReadonlyArray<MountEntry> {
    return this.paths.mounts.map((mount) => ({
      id: mount.id,
      parent: mount.parent?.id ?? 1,
      root: mount.rootPath,
      target: mount.target,
      options: mount.options,
      propagation: mount.propagation,
      type: mount.fs.type,
      source: mount.source,
      superOptions: mount.superOptions
    }))
  }

  private add(
    target: Location,
    root: Node,
    rootPath: string,
    fs: FileSystem,
    source: string,
    options: ReadonlyArray<string>,
    data: string
  ): Mount {
    return this.paths.add({
      parent: target.mount,
      covers: target.node,
      root,
      rootPath,
      target: pathOf(target),
      fs,
      source,
      options,
      superOptions: data === "" ? [options[0] ?? "rw"] : data.split(","),
      propagation: target.mount.propagation.includes("shared:1") ? ["shared:1"] : []
    })
  }

  private remount(target: Location, flags: ReadonlyArray<string>): void {
    if (target.node !== target.mount.root) throw new Errno("EINVAL")
    target.mount.options = optionsOf(flags)
  }

  private propagate(target: Location, propagation: string, recursive: boolean): void {
    if (target.node !== target.mount.root) throw new Errno("EINVAL")
    const tags = { shared: ["shared:1"], slave: ["master:1"], unbindable: ["unbindable"] }[propagation] ?? []
    for (const mount of [target.mount, ...(recursive ? this.descendants(target.mount) : [])]) mount.propagation = tags
  }

  /** As the real layer does it: paths in the options, descriptors where the options would be too long. */
  mountOverlay({ target, lower, upper, work, flags }: OverlayRequest): void {
    if (lower.length === 0) throw new Errno("EINVAL")
    const written = `lowerdir=${lower.join(":")},upperdir=${upper},workdir=${work}`
    const short = Buffer.byteLength(written) <= 4095 && !/[:,\\]/.test([...lower, upper, work].join(""))
    if (!short && 40 + (lower.length + 2) * "/proc/self/fd/100:".length > 4095) throw new Errno("E2BIG")
    const found = this.paths.find(target, { follow: true })
    const data = short ? written : "lowerdir=/proc/self/fd"
    this.attachOverlay({ lower, upper, work }, found, { source: "overlay", flags, data })
  }

  private overlay(request: MountRequest, target: Location, flags: ReadonlyArray<string>): void {
    const options = new Map(
      request.data.split(",").map((option) => {
        const at = option.indexOf("=")
        return at < 0 ? [option, ""] : [option.slice(0, at), option.slice(at + 1)]
      })
    )
    const lower = (options.get("lowerdir") ?? "").split(":").filter((path) => path !== "")
    const layers = { lower, upper: options.get("upperdir"), work: options.get("workdir") }
    this.attachOverlay(layers, target, { source: request.source, flags, data: request.data })
  }

  private attachOverlay(
    layers: {
      readonly lower: ReadonlyArray<string>
      readonly upper: string | undefined
      readonly work: string | undefined
    },
    target: Location,
    shown: { readonly source: string; readonly flags: ReadonlyArray<string>; readonly data: string }
  ): void {
    requireDirectory(target)
    const directory = (path: string): DiskDirectory | Directory => {
      const found = this.paths.find(path, { follow: true }).node
      if (!(found instanceof Directory)) throw new Errno("ENOTDIR")
      return found
    }
    if (layers.lower.length === 0 || layers.lower.length > 500) throw new Errno("EINVAL")
    if ((layers.upper === undefined) !== (layers.work === undefined)) throw new Errno("EINVAL")
    const upper = layers.upper === undefined ? undefined : directory(layers.upper)
    const lowers = layers.lower.map(directory)
    if (layers.work !== undefined) {
      const work = directory(layers.work)
      if (work === upper) throw new Errno("EINVAL")
      // The kernel leaves this directory behind: a work directory is never empty again.
      if (work.get("work") === undefined) work.put("work", new DiskDirectory(work.home(), 0))
    }
    const made = this.make("overlay")
    if (made === undefined) throw new Errno("ENODEV")
    const root = new OverlayDirectory(made.fs, upper, lowers)
    this.add(target, root, "/", made.fs, shown.source, optionsOf(shown.flags), shown.data)
  }

  private descendants(mount: Mount): ReadonlyArray<Mount> {
    const found: Array<Mount> = []
    const known = new Set([mount])
    for (const each of this.paths.mounts) {
      if (each.parent !== undefined && known.has(each.parent)) {
        known.add(each)
        found.push(each)
      }
    }
    return found
  }
}

const requireDirectory = (location: Location): void => {
  if (!(location.node instanceof Directory)) throw new Errno("ENOTDIR")
}
