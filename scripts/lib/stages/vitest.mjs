// One vitest run as a stage: its report is read, so that what a crash or a file without tests leaves out is noticed.
import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, relative } from "node:path"
import { inPrivateMounts, nodePath, top } from "../setup.mjs"

/** `summaries`: what tests have to say about a whole suite, by their `task.meta.summary`. */
const resultsOf = (report) => {
  const result = { passed: 0, failed: [], skipped: [], names: [], summaries: [] }
  for (const file of report.testResults) {
    const path = relative(top, file.name)
    // A file that does not load has no tests to fail.
    if (file.status === "failed" && !file.assertionResults.some(({ status }) => status === "failed")) {
      result.failed.push({ name: path, detail: file.message ?? "" })
    }
    for (const test of file.assertionResults) {
      const name = `${path}: ${test.fullName}`
      if (test.meta?.summary !== undefined) result.summaries.push(test.meta.summary)
      if (test.status === "passed") {
        result.passed++
        result.names.push(name)
      } else if (test.status === "failed") result.failed.push({ name, detail: test.failureMessages.join("\n") })
      else result.skipped.push({ name })
    }
  }
  return result
}

/**
 * Namespaces for a suite that works on the host: nothing of it survives its end, however it ends. The shell is process 1
 * of its PID namespace and reaps; a loopback is all the network there is.
 */
const contained = (unshareCommand) => {
  const [unshare, ...rest] = unshareCommand
  const namespaces = ["--net", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"]
  return ["setpriv", "--pdeathsig", "KILL", unshare, ...namespaces, ...rest]
}
const asInit = (command) => ["sh", "-c", 'ip link set lo up; "$@"; exit $?', "sh", ...command]

/**
 * `onHost` leaves the suite in the host's network and PID namespace; mounts are always its own. `limit` is in minutes; a
 * suite that has not ended by then has failed.
 */
export const runVitest = ({ config, limit, onHost = false }) => {
  const directory = mkdtempSync(`${tmpdir()}/cricket-report-`)
  const report = `${directory}/report.json`
  const reporters = [`--reporter=${onHost ? "default" : "verbose"}`, "--reporter=json", `--outputFile.json=${report}`]
  const node = nodePath()
  const vitest = [node, `${top}/node_modules/vitest/vitest.mjs`, "run", "--config", `${top}/${config}`, ...reporters]
  const [command, ...args] = onHost ? inPrivateMounts(vitest) : contained(inPrivateMounts(asInit(vitest)))
  const { status, signal, error } = spawnSync(command, args, {
    cwd: top,
    stdio: ["ignore", 2, 2],
    env: { ...process.env, PATH: [dirname(node), "/usr/local/go/bin", process.env.PATH].join(":") },
    timeout: limit * 60_000,
    killSignal: "SIGKILL"
  })
  try {
    const result = resultsOf(JSON.parse(readFileSync(report, "utf8")))
    // An error outside of any test, or a worker that died.
    if (status !== 0 && result.failed.length === 0) {
      result.failed.push({ name: config, detail: `vitest ended with ${status ?? signal}; see its output above` })
    }
    return result
  } catch {
    const reason = error?.code === "ETIMEDOUT" ? `not done after ${limit} minutes` : `ended with ${status ?? signal}`
    return { passed: 0, failed: [{ name: config, detail: `vitest left no report: ${reason}` }], skipped: [] }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
