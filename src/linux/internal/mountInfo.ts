/** /proc/PID/mountinfo (proc_pid_mountinfo(5)). */
import type { MountEntry } from "../Mounts.ts"

// Blank, tab, newline, backslash and "#" are written as three octal digits, of bytes of UTF-8 or not.
const unescape = (field: string): string =>
  field.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))

const parseLine = (line: string): MountEntry | undefined => {
  const fields = line.split(" ")
  // Optional fields end at a lone hyphen.
  const separator = fields.indexOf("-", 6)
  const [id, parent, , root, target, options] = fields
  const [type, source, superOptions] = fields.slice(separator + 1)
  if (separator === -1 || root === undefined || target === undefined || options === undefined) return undefined
  return {
    id: Number(id),
    parent: Number(parent),
    root: unescape(root),
    target: unescape(target),
    options: options.split(","),
    propagation: fields.slice(6, separator),
    type: unescape(type ?? ""),
    source: unescape(source ?? ""),
    superOptions: unescape(superOptions ?? "").split(",")
  }
}

/** Every mount in mount order; a line that is not understood is left out. */
export const parseMountInfo = (text: string): ReadonlyArray<MountEntry> =>
  text.split("\n").flatMap((line) => parseLine(line) ?? [])

/** True for a path and everything below it. */
export const isAtOrBelow = (target: string, path: string): boolean =>
  path === "/" || target === path || target.startsWith(`${path}/`)
