/** Inodes as an idmapped mount shows them: the same ones, with other owners. */
import { type IdMapping, type IdMappings, toHost } from "../../src/linux/IdMapping.ts"
import { Errno } from "./Errno.ts"
import { Directory, type Node } from "./Node.ts"

/** Owner of what no id is mapped for. */
const overflowId = 65_534

const inverted = (mappings: ReadonlyArray<IdMapping>): ReadonlyArray<IdMapping> =>
  mappings.map(({ containerId, hostId, length }) => ({ containerId: hostId, hostId: containerId, length }))

export const mappedView = ({ uids, gids }: IdMappings): ((node: Node) => Node) => {
  const owners: Readonly<Record<string, ReadonlyArray<IdMapping>>> = { uid: uids, gid: gids }
  const views = new WeakMap<Node, Node>()
  const view = (node: Node): Node => {
    const known = views.get(node)
    if (known !== undefined) return known
    const made = new Proxy(node, {
      get: (target, key) => {
        const ids = owners[String(key)]
        if (ids !== undefined) return toHost(ids, Reflect.get(target, key, target) as number) ?? overflowId
        if (key === "get" && target instanceof Directory) {
          return (name: string) => {
            const child = target.get(name)
            return child && view(child)
          }
        }
        return Reflect.get(target, key, target) as unknown
      },
      set: (target, key, value) => {
        const ids = owners[String(key)]
        const id = ids === undefined ? undefined : toHost(inverted(ids), value as number)
        if (ids !== undefined && id === undefined) throw new Errno("EOVERFLOW")
        return Reflect.set(target, key, id ?? value, target)
      }
    })
    views.set(node, made)
    return made
  }
  return view
}
