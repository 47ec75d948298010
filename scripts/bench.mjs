// npm run bench -- NAME: installs what is missing, builds, and measures in mount and network namespaces of its own.
import { spawn, spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { ensure, inPrivateMounts, nodePath, top } from "./lib/setup.mjs"

const usage = `npm run bench -- pod      a pod's life beside containerd's and beside a script without a daemon
  --runtime R             crun (default) or runc
  --rounds N              pods of each, interleaved (default 20)
  --starts N              starts of each daemon, interleaved (default 7)
  --on WHERE              where the stores lie: loop (a fresh ext4 on a loop device, default), tmpfs, or a directory
  --beside PATH           also measures another build: its bin/cricket
  --only A,B              of cricket, beside, containerd, floor (cricket always)
  --json                  every figure as JSON

npm run bench -- stats    ListContainerStats of running containers beside containerd's
  --runtime R             crun (default) or runc
  --containers N          each in a pod of its own (default 50)
  --calls N               one after the other (default 100)
  --idle N                seconds without a request, for the processor time of a daemon that nobody asks (default 30)
  --on WHERE, --json      as above

npm run bench -- exec     ExecSync beside the runtime's own exec; the daemon's memory, and what is left of the commands
  --runtime R             crun, runc or both (default crun,runc)
  --count N               of each, in turns of 500 (default 3000)
  --parallel N            at a time (default 8)
  --profile DIRECTORY     where the daemon leaves a profile of its processor time
  --json                  every figure as JSON
`

const fail = (text) => {
  process.stderr.write(text)
  process.exit(1)
}

const [name, ...args] = process.argv.slice(2)
if (name === undefined || ["--help", "-h"].includes(name) || args.includes("--help")) {
  process.stdout.write(usage)
  process.exit(name === undefined ? 1 : 0)
}
const program = `${top}/bench/${name}.ts`
if (!/^[a-z]+$/.test(name) || !existsSync(program)) fail(`no benchmark ${name}\n${usage}`)

try {
  ensure("test")
} catch (error) {
  fail(`${error.message}\n`)
}
const build = spawnSync(nodePath(), [`${top}/scripts/build.mjs`], { stdio: ["ignore", 2, 2], cwd: top })
if (build.status !== 0) process.exit(1)

const [command, ...rest] = inPrivateMounts([nodePath(), program, ...args])
const child = spawn(command, ["--net", ...rest], { stdio: "inherit", cwd: top })
// Ctrl-C reaches the whole process group; this process waits for the clean-up of the child.
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => signal === "SIGTERM" && child.kill(signal))
child.on("exit", (code, signal) => process.exit(code ?? (signal === "SIGINT" ? 130 : 1)))
