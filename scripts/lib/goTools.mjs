// Builds the real clients, crictl and critest, at the version that test/conformance/tools pins. Runs on Node 18 and up.
import { spawnSync } from "node:child_process"
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { top } from "./setup.mjs"

const module = `${top}/test/conformance/tools`
const output = `${top}/.cache/tools`

export const crictlPath = `${output}/crictl`
export const critestPath = `${output}/critest`

/** Debian's Go is older than cri-tools asks for. */
export const goPath = () => {
  for (const path of ["/usr/local/go/bin/go", "/usr/lib/go/bin/go", "/usr/bin/go"]) if (existsSync(path)) return path
  throw new Error(
    "crictl and critest are built from source and need Go 1.26 or newer at /usr/local/go (https://go.dev/dl/): install it, or leave them out with `npm test -- --fast`"
  )
}

const go = (args, options = {}) => {
  const { status, stdout, error } = spawnSync(goPath(), args, {
    cwd: module,
    stdio: ["ignore", 2, 2],
    encoding: "utf8",
    ...options
  })
  if (status !== 0) throw new Error(`go ${args.join(" ")} failed${error ? `: ${error.message}` : ""}`)
  return stdout
}

/** Builds crictl and fetches everything that critest needs, so that `buildCritest` needs no network. */
export const prepareGoTools = () => {
  mkdirSync(output, { recursive: true })
  go(["mod", "download"])
  go(["build", "-o", crictlPath, "sigs.k8s.io/cri-tools/cmd/crictl"])
  go(["test", "-c", "-o", critestPath, "sigs.k8s.io/cri-tools/cmd/critest"])
}

/**
 * critest with the digest of the image that stands for its test-image-digest, which cannot be had here: nothing else of
 * it is replaced. `digest` with its algorithm.
 */
export const buildCritest = (digest) => {
  const listed = go(["list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/cri-tools"], { stdio: ["ignore", "pipe", 2] })
  // Go replaces no file below its module cache: the overlay is over a copy.
  const copy = `${output}/cri-tools`
  rmSync(copy, { recursive: true, force: true })
  cpSync(listed.trim(), copy, { recursive: true })
  const constants = `${copy}/pkg/validate/consts.go`
  const original = readFileSync(constants, "utf8")
  const replaced = original.replace(/("test-image-digest@)sha256:[0-9a-f]{64}"/, `$1${digest}"`)
  if (!replaced.includes(digest)) throw new Error(`no digest to replace in ${constants}`)
  writeFileSync(`${output}/consts.go`, replaced)
  writeFileSync(`${output}/overlay.json`, JSON.stringify({ Replace: { [constants]: `${output}/consts.go` } }))
  go(["test", "-c", "-overlay", `${output}/overlay.json`, "-o", critestPath, "./cmd/critest"], { cwd: copy })
  return critestPath
}
