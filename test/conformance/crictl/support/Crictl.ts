/** The real crictl against one daemon. */
import { type ChildProcessWithoutNullStreams, execFile, spawn } from "node:child_process"
import { writeFileSync } from "node:fs"
import { crictlPath } from "../../../../scripts/lib/goTools.mjs"

export interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** The files that crictl reads pods and containers from; snake_case as the CRI's fields are. */
export type Request = Readonly<Record<string, unknown>>

export const makeCrictl = (socket: string, directory: string) => {
  const configuration = `${directory}/crictl.yaml`
  const endpoint = `unix://${socket}`
  writeFileSync(configuration, `runtime-endpoint: ${endpoint}\nimage-endpoint: ${endpoint}\ntimeout: 60\n`)
  let files = 0
  const fileOf = (request: Request): string => {
    const path = `${directory}/request-${files++}.json`
    writeFileSync(path, JSON.stringify(request))
    return path
  }

  const worked = new Set<string>()

  const run = (...parameters: ReadonlyArray<string>): Promise<Outcome> =>
    new Promise((resolve) => {
      execFile(
        crictlPath,
        ["--config", configuration, ...parameters],
        { maxBuffer: 64 << 20, timeout: 120_000 },
        (error, stdout, stderr) => {
          const code = typeof error?.code === "number" ? error.code : error === null ? 0 : 255
          if (code === 0) worked.add(parameters[0] ?? "")
          resolve({ code, stdout, stderr })
        }
      )
    })

  /** Standard output of a command that succeeds, without its last line's end. */
  const ok = async (...parameters: ReadonlyArray<string>): Promise<string> => {
    const { code, stdout, stderr } = await run(...parameters)
    if (code !== 0) throw new Error(`crictl ${parameters.join(" ")} ended with ${code}: ${stderr}${stdout}`)
    return stdout.replace(/\n$/, "")
  }

  /** Standard error of a command that fails. */
  const fails = async (...parameters: ReadonlyArray<string>): Promise<string> => {
    const { code, stdout, stderr } = await run(...parameters)
    if (code === 0) throw new Error(`crictl ${parameters.join(" ")} succeeded: ${stdout}`)
    return stderr
  }

  /** A command that goes on until it or its input is ended. */
  const start = (...parameters: ReadonlyArray<string>): ChildProcessWithoutNullStreams => {
    const child = spawn(crictlPath, ["--config", configuration, ...parameters])
    child.stdout.once("data", () => worked.add(parameters[0] ?? ""))
    return child
  }

  return {
    /** Its subcommands that have succeeded, or shown something if they were started. */
    worked,
    start,
    run,
    ok,
    fails,
    // Every command has another shape, which the tests state.
    // oxlint-disable-next-line typescript/no-explicit-any
    json: async (...parameters: ReadonlyArray<string>): Promise<any> => JSON.parse(await ok(...parameters)),
    runp: (pod: Request, ...options: ReadonlyArray<string>) => ok("runp", ...options, fileOf(pod)),
    runpFails: (pod: Request, ...options: ReadonlyArray<string>) => fails("runp", ...options, fileOf(pod)),
    create: (podId: string, container: Request, pod: Request) => ok("create", podId, fileOf(container), fileOf(pod)),
    runContainer: (container: Request, pod: Request, ...options: ReadonlyArray<string>) =>
      ok("run", ...options, fileOf(container), fileOf(pod)),
    runContainerFails: (container: Request, pod: Request) => fails("run", fileOf(container), fileOf(pod)),
    createFails: (podId: string, container: Request, pod: Request) =>
      fails("create", podId, fileOf(container), fileOf(pod)),
    exec: async (containerId: string, script: string) =>
      (await ok("exec", "-s", containerId, "sh", "-c", script)).trim()
  }
}

export type Crictl = ReturnType<typeof makeCrictl>
