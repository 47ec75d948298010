// What a container runtime could leave behind on a host, read twice and compared: mounts, network namespaces, links,
// firewall rules, cgroups, processes. Runs on Node 18 and up.
import { execFileSync } from "node:child_process"
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs"
import { basename } from "node:path"

const orElse = (fallback, read) => {
  try {
    return read()
  } catch {
    return fallback
  }
}

/** Mount point, type and source; ids and counters differ without meaning anything. */
const mounts = () =>
  readFileSync("/proc/self/mountinfo", "utf8")
    .trim()
    .split("\n")
    .map((line) => {
      const [before, after] = line.split(" - ")
      const [type, source] = after.split(" ")
      return `${before.split(" ")[4]} ${type} ${type === "nsfs" ? before.split(" ")[3] : source}`
    })

const namedNetworks = () => orElse([], () => readdirSync("/run/netns"))

const links = () => {
  const shown = orElse("[]", () => execFileSync("ip", ["-j", "link"], { encoding: "utf8" }))
  return JSON.parse(shown || "[]").map(({ ifname }) => ifname)
}

/** Rules and chains that somebody made. Built-in chains appear with the first look at a table. */
const firewall = () =>
  ["iptables-save", "ip6tables-save"].flatMap((command) => {
    let table = ""
    const save = orElse("", () => execFileSync(command, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }))
    return save.split("\n").flatMap((line) => {
      if (line.startsWith("*")) table = line.slice(1)
      const isMade = line.startsWith("-A ") || /^:\S+ -/.test(line) || /^:\S+ DROP/.test(line)
      return isMade ? [`${command.replace("-save", "")} ${table} ${line.replace(/ ?\[\d+:\d+\]/, "")}`] : []
    })
  })

const cgroupsBelow = (directory) =>
  orElse([], () => readdirSync(directory, { withFileTypes: true })).flatMap((entry) => {
    const path = `${directory}/${entry.name}`
    return entry.isDirectory() && !lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()
      ? [path, ...cgroupsBelow(path)]
      : []
  })

/** Mount points of cgroup file systems; what else lies below /sys/fs/cgroup are plain directories. */
const hierarchies = () =>
  readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => / - cgroup2? /.test(line))
    .map((line) => line.split(" ")[4])

/** Whoever had a cgroup before makes and removes what is below it as he likes; new ones at the top are the runtime's. */
const leftCgroups = (before, after) => {
  const owned = new Set(before.map((path) => path.split("/")[1]))
  return [...new Set(after)].filter((path) => !owned.has(path.split("/")[1]))
}

const processOf = (pid) => {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return {
    pid,
    state: fields[0],
    parent: Number(fields[1]),
    startTime: fields[19],
    namespace: orElse("", () => readlinkSync(`/proc/${pid}/ns/pid`)),
    program: orElse("", () => basename(readlinkSync(`/proc/${pid}/exe`))),
    command: readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim()
  }
}

/** Kernel threads (children of 2, without a program) and the dead whom nobody has reaped are nobody's. */
const processes = () =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => orElse([], () => [processOf(Number(name))]))
    .filter(({ state, program }) => state !== "Z" && program !== "")

const ownNamespace = () => readlinkSync("/proc/self/ns/pid")

/**
 * `contained`: what is looked for ran in a PID namespace of its own, so that processes in this one are other people's.
 */
export const hostState = ({ contained = false } = {}) => ({
  mount: mounts(),
  "network namespace": namedNetworks(),
  link: links(),
  "firewall rule": firewall(),
  cgroup: hierarchies().flatMap((mount) => cgroupsBelow(mount).map((path) => path.slice(mount.length))),
  processes: processes().filter(({ namespace }) => !contained || namespace !== ownNamespace())
})

/** Other people's processes hang below a process that was there before; what a runtime leaves is an orphan or a child. */
const leftProcesses = (before, after) => {
  const key = ({ pid, startTime }) => `${pid}.${startTime}`
  const known = new Set(before.map(key))
  const byPid = new Map(after.map((one) => [one.pid, one]))
  const isOurs = (one) => {
    let { parent } = one
    while (byPid.has(parent) && !known.has(key(byPid.get(parent))) && parent !== process.pid) {
      parent = byPid.get(parent).parent
    }
    // Node processes below this one are its own workers and the daemons that it has started and will end.
    return parent <= 1 || (parent === process.pid && one.program !== "node")
  }
  return after.filter((one) => !known.has(key(one)) && isOurs(one))
}

/** One line per thing that is there now and was not, or was there and is not. Empty when the host is as before. */
export const differences = (before, after) => {
  const lines = []
  for (const kind of Object.keys(before).filter((name) => name !== "processes" && name !== "cgroup")) {
    const left = [...after[kind]]
    for (const one of before[kind]) {
      const index = left.indexOf(one)
      if (index === -1) lines.push(`${kind} gone: ${one}`)
      else left.splice(index, 1)
    }
    for (const one of left) lines.push(`${kind} left: ${one}`)
  }
  for (const path of leftCgroups(before.cgroup, after.cgroup)) lines.push(`cgroup left: ${path}`)
  for (const { pid, command } of leftProcesses(before.processes, after.processes)) {
    lines.push(`process left: ${pid} ${command}`)
  }
  return lines
}

/** The differences once things have had time to end; `limit` in milliseconds. */
export const settledDifferences = async (before, { contained = false, limit = 10_000 } = {}) => {
  for (const until = Date.now() + limit; ;) {
    const left = differences(before, hostState({ contained }))
    if (left.length === 0 || Date.now() > until) return left
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}
