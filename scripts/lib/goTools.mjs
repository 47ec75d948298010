// Builds the real clients, crictl and critest, at the version that test/conformance/tools pins. Runs on Node 18 and up.
import { spawnSync } from "node:child_process"
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { top } from "./setup.mjs"

const module = `${top}/test/conformance/tools`
const output = `${top}/.cache/tools`
const criTools = "sigs.k8s.io/cri-tools"

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
  go(["build", "-o", crictlPath, `${criTools}/cmd/crictl`])
  go(["test", "-c", "-o", critestPath, `${criTools}/cmd/critest`])
}

/**
 * critest with two differences: the digest of the image that stands for its test-image-digest, which cannot be had here
 * (`digest` with its algorithm), and the specs of tools/specs beside its own.
 */
export const buildCritest = (digest) => {
  const listed = go(["list", "-m", "-f", "{{.Dir}}", criTools], { stdio: ["ignore", "pipe", 2] })
  // Go replaces no file below its module cache: the overlay is over a copy.
  const copy = `${output}/cri-tools`
  rmSync(copy, { recursive: true, force: true })
  cpSync(listed.trim(), copy, { recursive: true })
  const constants = `${copy}/pkg/validate/consts.go`
  const original = readFileSync(constants, "utf8")
  const replaced = original.replace(/("test-image-digest@)sha256:[0-9a-f]{64}"/, `$1${digest}"`)
  if (!replaced.includes(digest)) throw new Error(`no digest to replace in ${constants}`)
  const overlay = {
    [constants]: ["consts.go", replaced],
    [`${copy}/cmd/critest/specs_test.go`]: ["specs_test.go", 'package main\n\nimport _ "cricket.test/tools/specs"\n']
  }
  const Replace = {}
  for (const [place, [name, text]] of Object.entries(overlay)) {
    writeFileSync(`${output}/${name}`, text)
    Replace[place] = `${output}/${name}`
  }
  writeFileSync(`${output}/overlay.json`, JSON.stringify({ Replace }))
  // The pinned modules, but for the copy.
  const requirements = readFileSync(`${module}/go.mod`, "utf8")
  writeFileSync(`${output}/go.mod`, `${requirements}\nreplace ${criTools} => ${copy}\n`)
  cpSync(`${module}/go.sum`, `${output}/go.sum`)
  const files = [`-modfile=${output}/go.mod`, `-overlay=${output}/overlay.json`]
  go(["test", "-c", ...files, "-o", critestPath, `${criTools}/cmd/critest`])
  return critestPath
}
