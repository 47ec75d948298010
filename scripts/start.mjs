// npm start: a bare machine, one command, a real pod. Installs what is missing, builds, then hands over to
// scripts/first-pod in namespaces of its own, so that nothing of it is left on the host whatever happens.
import { spawn, spawnSync } from "node:child_process"
import { existsSync, statSync } from "node:fs"
import { ensure, inPrivateMounts, nodePath, top } from "./lib/setup.mjs"

const usage = `npm start                 run a first pod, then keep the daemon in the foreground until Ctrl-C
npm start -- --once       run a first pod and end; the exit code tells
npm start -- --json       print steps and times as JSON
npm start -- --runtime R  crun (default) or runc
`

const args = process.argv.slice(2)
if (args.includes("--help") || args.includes("-h")) {
  process.stdout.write(usage)
  process.exit(0)
}

try {
  ensure("run")
} catch (error) {
  process.stderr.write(`${error.message}\n`)
  process.exit(1)
}

/** Sources are newer than the bundle. */
const isStale = () => {
  const bundle = `${top}/dist/cricket.js`
  if (!existsSync(bundle)) return true
  const built = statSync(bundle).mtimeMs
  const newer = spawnSync("find", [
    `${top}/src`,
    "-name",
    "*.ts",
    "-newermt",
    new Date(built).toISOString(),
    "-print",
    "-quit"
  ])
  return newer.stdout.length > 0
}
if (isStale()) {
  const build = spawnSync(nodePath(), [`${top}/scripts/build.mjs`], { stdio: ["ignore", 2, 2], cwd: top })
  if (build.status !== 0) process.exit(1)
}

const [command, ...rest] = inPrivateMounts([nodePath(), `${top}/scripts/first-pod/main.ts`, ...args])
const child = spawn(command, ["--net", ...rest], { stdio: "inherit", cwd: top })
// Ctrl-C reaches the whole process group; this process waits for the clean-up of the child.
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => signal === "SIGTERM" && child.kill(signal))
child.on("exit", (code, signal) => process.exit(code ?? (signal === "SIGINT" ? 130 : 1)))
