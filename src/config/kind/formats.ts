/** Strings with a form of their own, checked where they are written rather than where they are used. */
import { matching, optionalPath } from "./scalar.ts"

const capabilities = new Set(
  (
    "AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE DAC_READ_SEARCH " +
    "FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN " +
    "NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID SYS_ADMIN SYS_BOOT SYS_CHROOT " +
    "SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG SYSLOG WAKE_ALARM"
  ).split(" ")
)

/** A name of capabilities(7), with or without CAP_, in either case. */
export const capability = matching('a Linux capability such as "NET_BIND_SERVICE"', (name) =>
  capabilities.has(name.toUpperCase().replace(/^CAP_/, ""))
)

export const keyValue = matching('"KEY=VALUE"', (entry) => /^[^=\0]+=[^\0]*$/.test(entry))

/** setrlimit(2)'s names in lower case and without RLIMIT_, as docker's --ulimit has them; -1 is "unlimited". */
export const ulimit = matching('"NAME=SOFT:HARD" with a name such as nofile', (entry) => {
  const [, soft, hard] =
    /^(?:core|cpu|data|fsize|locks|memlock|msgqueue|nice|nofile|nproc|rss|rtprio|rttime|sigpending|stack)=(-1|\d+)(?::(-1|\d+))?$/.exec(
      entry
    ) ?? []
  if (soft === undefined) return false
  return hard === undefined || hard === "-1" || (soft !== "-1" && BigInt(soft) <= BigInt(hard))
})

export const device = matching('"/dev/HOST", optionally followed by ":/dev/CONTAINER" and ":rwm"', (entry) => {
  const [host = "", ...rest] = entry.split(":")
  const permissions = rest.at(-1)?.startsWith("/") === false ? rest.pop() : undefined
  const paths = [host, ...rest]
  return (
    paths.length <= 2 &&
    paths.every((path) => path.startsWith("/dev/") && !path.split("/").includes("..")) &&
    (permissions === undefined ||
      (/^[rwm]{1,3}$/.test(permissions) && new Set(permissions).size === permissions.length))
  )
})

/** The kernel's list format (cpuset(7)); empty for none. */
export const cpuset = matching('a list of CPUs such as "0-3,7", or an empty string', (list) => {
  if (list === "") return true
  return list.split(",").every((range) => {
    const [, first, last] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(range) ?? []
    return first !== undefined && (last === undefined || Number(first) <= Number(last))
  })
})

export const idMappings = matching(
  '"CONTAINER:HOST:SIZE", several with commas between them, or an empty string',
  (maps) => {
    if (maps === "") return true
    return maps.split(",").every((map) => /^\d{1,10}:\d{1,10}:[1-9]\d{0,9}$/.test(map))
  }
)

export const ipAddress = matching("an IP address", (address) =>
  address.includes(":")
    ? URL.canParse(`http://[${address}]/`)
    : /^\d{1,3}(?:\.\d{1,3}){3}$/.test(address) && address.split(".").every((part) => Number(part) <= 255)
)

export const hostPort = matching('"HOST:PORT"', (address) => {
  const [, port] = /^(?:[^:\s]+|\[[0-9a-fA-F:.]+\]):(\d{1,5})$/.exec(address) ?? []
  return port !== undefined && Number(port) <= 65_535
})

export const handlerName = matching("the name of a runtime handler", (name) =>
  /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)
)

export const monitorCgroup = matching(
  'a slice such as "system.slice", "pod", or an empty string',
  (cgroup) => cgroup === "" || cgroup === "pod" || /^[^/\0]+\.slice$/.test(cgroup)
)

/** CRI-O takes Go's syntax (RE2); nearly everything that people write is the same in both. */
export const regularExpression = matching("a regular expression", (pattern) => {
  try {
    void new RegExp(pattern, "u")
    return true
  } catch {
    return false
  }
})

export const restoreFile = matching(
  `${optionalPath.expected}, or "disable"`,
  (value) => value === "" || value === "disable" || value.startsWith("/")
)
