/** What du(1) counts: a tree of one file system, each inode once. */
import { Directory, FileNode, type Node } from "./Node.ts"
import type { Location, Paths } from "./Paths.ts"

export const diskUsage = (paths: Paths, path: string): { bytes: bigint; inodes: bigint } => {
  const seen = new Set<Node>()
  let bytes = 0n
  const visit = (location: Location): void => {
    const { node } = location
    if (seen.has(node)) return
    seen.add(node)
    bytes += node instanceof FileNode ? BigInt(Math.ceil(node.data.length / 4096) * 4096) : 4096n
    if (!(node instanceof Directory)) return
    for (const name of node.names()) {
      const child = node.get(name)
      if (child === undefined) continue
      const crossed = paths.cross({ mount: location.mount, node: child, name, up: location })
      if (crossed.mount === location.mount) visit(crossed)
    }
  }
  visit(paths.find(path, { follow: false }))
  return { bytes, inodes: BigInt(seen.size) }
}
