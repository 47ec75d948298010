/** The texts of cgroup files. */
import type { PressureLine } from "../Usage.ts"

/** A number, or undefined for "max" and for v1's huge value, both of which mean "no limit". */
export const parseLimit = (text: string): bigint | undefined => {
  const trimmed = text.trim()
  if (!/^\d+$/.test(trimmed)) return undefined
  const value = BigInt(trimmed)
  // v1 prints the largest page-aligned 64-bit number, which depends on the page size
  return value >= 2n ** 63n - 2n ** 20n ? undefined : value
}

export const parseCount = (text: string): bigint => {
  const trimmed = text.trim()
  return /^\d+$/.test(trimmed) ? BigInt(trimmed) : 0n
}

/** A value of a flat keyed file ("name value" lines), undefined when the key is not there. */
export const findKeyed = (text: string, key: string): bigint | undefined => {
  const start = text.startsWith(`${key} `) ? 0 : text.indexOf(`\n${key} `) + 1
  if (start === 0 && !text.startsWith(`${key} `)) return undefined
  const end = text.indexOf("\n", start)
  return parseCount(text.slice(start + key.length + 1, end === -1 ? undefined : end))
}

/** The same, 0 when the key is not there. */
export const parseKeyed = (text: string, key: string): bigint => findKeyed(text, key) ?? 0n

/** Process ids; 0 stands for a process outside this PID namespace and is left out. */
export const parseProcesses = (text: string): ReadonlyArray<number> =>
  text
    .split("\n")
    .filter((line) => /^\d+$/.test(line))
    .map(Number)
    .filter((pid) => pid > 0)

/** /proc/PID/cgroup (cgroups(7)): no controllers in the line of v2; its path is as the reader's cgroup namespace has it. */
export const parseOwnCgroups = (
  text: string
): ReadonlyArray<{ readonly controllers: ReadonlyArray<string>; readonly path: string }> =>
  [...text.matchAll(/^\d+:([^:]*):(\/.*)$/gm)].map(([, names = "", path = "/"]) => ({
    controllers: names === "" ? [] : names.split(","),
    path
  }))

/** One line of a pressure file (Documentation/accounting/psi.rst); all 0 for a line that this kernel does not have. */
export const parsePressure = (text: string, name: "some" | "full"): PressureLine => {
  const line = text.split("\n").find((candidate) => candidate.startsWith(`${name} `)) ?? ""
  const value = (key: string) => new RegExp(` ${key}=([\\d.]+)`).exec(line)?.[1] ?? "0"
  return {
    totalNs: parseCount(value("total")) * 1000n,
    avg10: Number(value("avg10")),
    avg60: Number(value("avg60")),
    avg300: Number(value("avg300"))
  }
}
