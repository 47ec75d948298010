/** Paths of archive entries as byte strings (see native.ts), and what an AUFS whiteout name means (OCI image spec, layer.md). */
import { ArchiveError, type UnpackLimits } from "./limits.ts"

/** The bytes of a path for people: UTF-8 where it is, else with replacement characters. */
export const printable = (path: string): string => Buffer.from(path, "latin1").toString("utf8")

/**
 * Components of a path inside the layer. "." and empty ones go, ".." takes one away and stops at the root: the place
 * that a process inside the layer's root would name. Links among the components are the kernel's business.
 */
export const componentsOf = (path: string, limits: UnpackLimits): Array<string> => {
  if (path.length > limits.pathBytes) {
    throw new ArchiveError(printable(path.slice(0, 128)), `path of ${path.length} bytes`)
  }
  if (path.includes("\0")) throw new ArchiveError(printable(path), "path contains a NUL byte")
  const components: Array<string> = []
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue
    if (part === "..") components.pop()
    else components.push(part)
  }
  if (components.length > limits.depth) {
    throw new ArchiveError(printable(path.slice(0, 128)), `path of ${components.length} levels`)
  }
  return components
}

/**
 * - "file": no whiteout.
 * - "remove": hides `name` of the layers below.
 * - "opaque": hides everything that the layers below have in this directory.
 * - "ignore": bookkeeping of AUFS.
 */
export type Whiteout =
  | { readonly kind: "file" | "opaque" | "ignore" }
  | { readonly kind: "remove"; readonly name: string }

const prefix = ".wh."

/** Reads the last component of an entry's path; a whiteout that would name "", "." or ".." is refused. */
export const whiteoutOf = (base: string): Whiteout => {
  if (!base.startsWith(prefix)) return { kind: "file" }
  if (base === ".wh..wh..opq") return { kind: "opaque" }
  if (base.startsWith(".wh..wh.")) return { kind: "ignore" }
  const name = base.slice(prefix.length)
  if (name === "" || name === "." || name === "..") throw new ArchiveError(printable(base), "whiteout of nothing")
  return { kind: "remove", name }
}
