/** The merged view of an overlay mount: lookup through upper and lower directories, copy-up, whiteouts. */
import { Errno } from "./Errno.ts"
import { DeviceNode, Directory, DiskDirectory, FileNode, SymlinkNode, type FileSystem, type Node } from "./Node.ts"

const isWhiteout = (node: Node): boolean => node instanceof DeviceNode && node.specialDevice === 0

export class OverlayDirectory extends Directory {
  private upper: Directory | undefined
  private readonly lowers: ReadonlyArray<Directory>
  private readonly above: { readonly directory: OverlayDirectory; readonly name: string } | undefined
  private readonly merged = new Map<string, OverlayDirectory>()

  constructor(
    fs: FileSystem,
    upper: Directory | undefined,
    lowers: ReadonlyArray<Directory>,
    above?: { readonly directory: OverlayDirectory; readonly name: string }
  ) {
    const model = upper ?? lowers[0]
    super(fs, model?.mode ?? 0o755)
    this.uid = model?.uid ?? 0
    this.gid = model?.gid ?? 0
    this.upper = upper
    this.lowers = lowers
    this.above = above
  }

  override home(): FileSystem {
    return this.ensureUpper().home()
  }

  get(name: string): Node | undefined {
    const upper = this.upper?.get(name)
    if (upper !== undefined && isWhiteout(upper)) return undefined
    if (upper !== undefined && !(upper instanceof Directory)) return upper
    const below = upper?.opaque === true ? [] : this.directoriesBelow(name)
    if (upper instanceof Directory) return this.mergedChild(name, upper, below)
    const first = this.firstBelow(name)
    if (first === undefined) return undefined
    return first instanceof Directory ? this.mergedChild(name, undefined, below) : first
  }

  names(): Array<string> {
    const all = new Set(this.upper?.names())
    if (this.upper?.opaque !== true) for (const lower of this.lowers) for (const name of lower.names()) all.add(name)
    return [...all].filter((name) => this.get(name) !== undefined)
  }

  put(name: string, node: Node): void {
    this.ensureUpper().put(name, node)
    this.merged.delete(name)
    this.touch()
  }

  drop(name: string): void {
    const upper = this.ensureUpper()
    upper.drop(name)
    this.merged.delete(name)
    if (this.firstBelow(name) !== undefined) upper.put(name, new DeviceNode(upper.home(), "character", 0, 0))
    this.touch()
  }

  override writable(name: string): Node {
    const node = this.get(name)
    if (node === undefined) throw new Errno("ENOENT")
    if (this.upper?.get(name) !== undefined) return node
    if (node instanceof OverlayDirectory) {
      node.ensureUpper()
      return node
    }
    const upper = this.ensureUpper()
    const copy = copyOf(upper.home(), node)
    upper.put(name, copy)
    return copy
  }

  override sync(): void {
    this.upper?.sync()
  }

  private ensureUpper(): Directory {
    if (this.upper !== undefined) return this.upper
    if (this.above === undefined) throw new Errno("EROFS")
    const parent = this.above.directory.ensureUpper()
    const made = new DiskDirectory(parent.home(), this.mode)
    made.uid = this.uid
    made.gid = this.gid
    parent.put(this.above.name, made)
    this.upper = made
    return made
  }

  private mergedChild(name: string, upper: Directory | undefined, lowers: ReadonlyArray<Directory>): OverlayDirectory {
    const known = this.merged.get(name)
    if (known !== undefined && (upper === undefined || known.upper === upper)) return known
    const made = new OverlayDirectory(this.fs, upper, lowers, { directory: this, name })
    this.merged.set(name, made)
    return made
  }

  private firstBelow(name: string): Node | undefined {
    for (const lower of this.lowers) {
      const node = lower.get(name)
      if (node !== undefined) return isWhiteout(node) ? undefined : node
    }
    return undefined
  }

  private directoriesBelow(name: string): ReadonlyArray<Directory> {
    const found: Array<Directory> = []
    for (const lower of this.lowers) {
      const node = lower.get(name)
      if (node === undefined) continue
      if (!(node instanceof Directory)) break
      found.push(node)
      if (node.opaque) break
    }
    return found
  }
}

const copyOf = (fs: FileSystem, node: Node): Node => {
  const copy =
    node instanceof FileNode
      ? new FileNode(fs, node.mode)
      : node instanceof SymlinkNode
        ? new SymlinkNode(fs, node.target)
        : undefined
  if (copy === undefined) return node
  if (copy instanceof FileNode && node instanceof FileNode) copy.data = node.data
  copy.uid = node.uid
  copy.gid = node.gid
  return copy
}
