/** What is run, with which environment, where (config.md "process"). */
import { Result } from "effect"
import { posix } from "node:path"
import type { KeyValue } from "../../gen/runtime/v1/api.ts"
import { type Fault, invalid } from "./fault.ts"
import type { ImageDefaults } from "./input.ts"

/** Searched by programs where neither pod nor image says otherwise; the value every runtime uses. */
export const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/**
 * CRI ContainerConfig.command and args over the image's Entrypoint and Cmd: a command replaces both of the image, args
 * alone replace Cmd.
 */
export const processArgs = (
  config: { readonly command: ReadonlyArray<string>; readonly args: ReadonlyArray<string> },
  image: ImageDefaults
): Result.Result<ReadonlyArray<string>, Fault> => {
  const args =
    config.command.length > 0
      ? [...config.command, ...config.args]
      : [...image.Entrypoint, ...(config.args.length > 0 ? config.args : image.Cmd)]
  if (args.length === 0 || args[0] === "") {
    return invalid("command", "no command: neither the pod nor the image (Entrypoint, Cmd) names one")
  }
  const broken = args.findIndex((arg) => arg.includes("\0"))
  return broken >= 0 ? invalid("command", `argument ${broken} contains a NUL byte`) : Result.succeed(args)
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/**
 * Values are bytes in CRI (since 1.37) and text in config.json, which is JSON and so UTF-8: a value that is not UTF-8 is
 * refused, since writing it would hand the program another value than the pod's author gave.
 */
const requestValue = ({ key, value }: KeyValue): Result.Result<string, Fault> => {
  const field = `envs[${JSON.stringify(key)}]`
  if (key === "" || /[=\0]/.test(key))
    return invalid(field, 'a variable\'s name must not be empty or contain "=" or NUL')
  if (value.includes(0)) return invalid(field, "the value contains a NUL byte")
  return Result.mapError(
    Result.try(() => utf8.decode(value)),
    (): Fault => ({
      kind: "invalid",
      field,
      reason: "the value is not valid UTF-8, which an OCI config.json cannot carry; mount it as a file instead"
    })
  )
}

export interface EnvironmentInput {
  readonly image: ImageDefaults
  readonly envs: ReadonlyArray<KeyValue>
  /** "NAME=value" of the daemon's configuration (default_env). */
  readonly defaultEnv: ReadonlyArray<string>
  readonly hostname: string
  readonly home: string
  readonly terminal: boolean
}

const split = (entry: string): readonly [string, string] => {
  const equals = entry.indexOf("=")
  return equals < 0 ? [entry, ""] : [entry.slice(0, equals), entry.slice(equals + 1)]
}

/** The image's variables, then the request's, later over earlier; then what is still missing of the defaults. */
export const environment = (input: EnvironmentInput): Result.Result<ReadonlyArray<string>, Fault> =>
  Result.gen(function* () {
    const variables = new Map<string, string>()
    // A stranger's entries: what no process could get is left out.
    for (const entry of input.image.Env) {
      const [name, value] = split(entry)
      if (name !== "" && !entry.includes("\0")) variables.set(name, value)
    }
    for (const entry of input.envs) variables.set(entry.key, yield* requestValue(entry))
    const defaults: ReadonlyArray<readonly [string, string]> = [
      ...input.defaultEnv.map(split),
      ["PATH", defaultPath],
      ["HOSTNAME", input.hostname],
      ["HOME", input.home],
      ...(input.terminal ? [["TERM", "xterm"] as const] : [])
    ]
    for (const [name, value] of defaults) if (!variables.has(name)) variables.set(name, value)
    return Array.from(variables, ([name, value]) => `${name}=${value}`)
  })

// CVE-2024-21626: a working directory reached through an open descriptor lies outside the container.
const descriptorPath =
  /^\/(proc\/[^/]+\/(task\/[^/]+\/)?(fd|fdinfo|cwd|root|map_files)|dev\/(fd|stdin|stdout|stderr))(\/|$)/

/** The request's, else the image's, else "/". The runtime makes it where the image lacks it. */
export const workingDirectory = (requested: string, fromImage: string): Result.Result<string, Fault> => {
  const [field, text] = requested !== "" ? ["working_dir", requested] : ["image WORKDIR", fromImage]
  if (text.includes("\0")) return invalid(field, "contains a NUL byte")
  const path = posix.resolve("/", text)
  return descriptorPath.test(path)
    ? invalid(field, `${path} goes through a file descriptor, which may lead out of the container`)
    : Result.succeed(path)
}
