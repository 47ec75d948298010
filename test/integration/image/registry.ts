/** A real docker-registry on loopback, and skopeo to fill it. */
import { execFile, execFileSync, spawn } from "node:child_process"
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { request } from "node:https"
import { promisify } from "node:util"

export interface RegistryOptions {
  readonly directory: string
  readonly port: number
  /** https with a certificate of its own authority, and basic authentication. */
  readonly guarded?: { readonly username: string; readonly password: string }
}

const run = promisify(execFile)

const config = ({ directory, port, guarded }: RegistryOptions): string => `
version: 0.1
log: { level: info, accesslog: { disabled: false } }
storage: { filesystem: { rootdirectory: ${directory}/data } }
http:
  addr: 127.0.0.1:${port}
  secret: test
${guarded === undefined ? "" : `  tls: { certificate: ${directory}/server.crt, key: ${directory}/server.key }`}
${guarded === undefined ? "" : `auth: { htpasswd: { realm: test, path: ${directory}/htpasswd } }`}
`

/** An authority, and a server certificate for 127.0.0.1. */
const makeCertificates = (directory: string): void => {
  const openssl = (...parameters: ReadonlyArray<string>) =>
    execFileSync("openssl", parameters, { cwd: directory, stdio: "ignore" })
  writeFileSync(`${directory}/san`, "subjectAltName=IP:127.0.0.1")
  openssl(
    "req",
    "-x509",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-days",
    "2",
    "-subj",
    "/CN=authority",
    "-keyout",
    "ca.key",
    "-out",
    "ca.crt"
  )
  openssl(
    "req",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-subj",
    "/CN=registry",
    "-keyout",
    "server.key",
    "-out",
    "server.csr"
  )
  openssl(
    "x509",
    "-req",
    "-in",
    "server.csr",
    "-CA",
    "ca.crt",
    "-CAkey",
    "ca.key",
    "-CAcreateserial",
    "-days",
    "2",
    "-extfile",
    "san",
    "-out",
    "server.crt"
  )
}

const answers = async (port: number, secure: boolean): Promise<boolean> => {
  if (!secure)
    return fetch(`http://127.0.0.1:${port}/v2/`).then(
      () => true,
      () => false
    )
  return new Promise((resolve) => {
    const asked = request({ host: "127.0.0.1", port, path: "/v2/", rejectUnauthorized: false }, (response) => {
      response.resume()
      resolve(true)
    })
    asked.on("error", () => resolve(false))
    asked.end()
  })
}

export const startRegistry = async (options: RegistryOptions) => {
  const { directory, port, guarded } = options
  mkdirSync(`${directory}/data`, { recursive: true })
  if (guarded !== undefined) {
    makeCertificates(directory)
    const line = execFileSync("htpasswd", ["-Bbn", guarded.username, guarded.password], { encoding: "utf8" })
    writeFileSync(`${directory}/htpasswd`, line)
  }
  writeFileSync(`${directory}/config.yml`, config(options))
  const log = `${directory}/log`
  const child = spawn("sh", ["-c", `exec docker-registry serve ${directory}/config.yml > ${log} 2>&1`], {
    stdio: "ignore"
  })
  for (let tries = 0; !(await answers(port, guarded !== undefined)); tries++) {
    if (tries === 100) throw new Error(`docker-registry does not answer:\n${readFileSync(log, "utf8")}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  const host = `127.0.0.1:${port}`
  return {
    host,
    /** Lines of the access log that ask for something. */
    requests: (text: string): ReadonlyArray<string> =>
      readFileSync(log, "utf8")
        .split("\n")
        .filter((line) => line.includes(`"GET `) && line.includes(text)),
    /** Copies an image layout into the registry. */
    push: async (layout: string, name: string, ...options: ReadonlyArray<string>) => {
      const credentials = guarded === undefined ? [] : ["--dest-creds", `${guarded.username}:${guarded.password}`]
      await run("skopeo", [
        "copy",
        "-q",
        "--insecure-policy",
        "--dest-tls-verify=false",
        ...credentials,
        ...options,
        `oci:${layout}`,
        `docker://${host}/${name}`
      ])
    },
    stop: async () => {
      const ended = new Promise((resolve) => child.once("exit", resolve))
      child.kill("SIGKILL")
      await ended
      rmSync(directory, { recursive: true, force: true })
    }
  }
}

export type Registry = Awaited<ReturnType<typeof startRegistry>>
