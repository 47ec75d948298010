// flake.nix without network and without nixpkgs: it parses, its outputs evaluate against the stub in test/flake, and the
// NixOS module makes the unit and the configuration that it promises.
import { spawnSync } from "node:child_process"
import { cpSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { top } from "../setup.mjs"

const run = (command, args, cwd = top) => {
  const environment = {
    ...process.env,
    HOME: tmpdir(),
    NIX_CONFIG: "experimental-features = nix-command flakes\nsubstituters =\nbuild-users-group ="
  }
  const options = { cwd, encoding: "utf8", env: environment, timeout: 120_000 }
  const { status, stdout, stderr, error } = spawnSync(command, args, options)
  return { failed: status !== 0, output: stdout, detail: `${stderr}${error ? error.message : ""}`.trim() }
}

const evaluate = (directory, expression) =>
  run("nix-instantiate", [
    "--eval",
    "--strict",
    "--json",
    "--expr",
    `(import ${directory}/test/flake/evaluate.nix).${expression}`
  ])

const expectations = {
  "packages.default builds from the lock file": [
    "package",
    (value) => value.npmDepsHash !== "" && value.pname === "cricket"
  ],
  "packages exist for both processors": ["systems", (value) => value.join() === "aarch64-linux,x86_64-linux"],
  "devShells.default has Node, conmon, crun, CNI plugins and Go": [
    "shell",
    (value) => ["nodejs_24", "conmon", "crun", "cni-plugins", "go"].every((name) => value.includes(name))
  ],
  "the module disabled changes nothing": ["disabled", (value) => Object.keys(value).length === 0],
  "the module enabled makes cricket.service in front of kubelet": [
    "enabled.service",
    (value) => value.before.includes("kubelet.service") && value.serviceConfig.KillMode === "process"
  ],
  "the module's settings become crio.conf": [
    "enabled.settings",
    (value) => value.crio.runtime.default_runtime === "crun" && value.crio.api.listen === "/run/crio/crio.sock"
  ]
}

const failureOf = (result, holds) => {
  if (result.failed) return result.detail
  return holds(JSON.parse(result.output)) ? undefined : `evaluates to ${result.output}`
}

export const runFlake = () => {
  // Nix copies what it evaluates: flake and stub, not node_modules.
  const directory = mkdtempSync(`${tmpdir()}/cricket-flake-`)
  const results = []
  try {
    for (const name of ["flake.nix", "package.json", "contrib", "test/flake"]) {
      cpSync(`${top}/${name}`, `${directory}/${name}`, { recursive: true })
    }
    const parsed = run("nix-instantiate", ["--parse", `${directory}/flake.nix`])
    results.push(["flake.nix parses", parsed.failed ? parsed.detail : undefined])
    const stub = ["--override-input", "nixpkgs", `path:${directory}/test/flake/nixpkgs`, "--no-write-lock-file"]
    const checked = run("nix", ["flake", "check", "--no-build", `path:${directory}`, ...stub])
    results.push(["flake outputs have the right shapes", checked.failed ? checked.detail : undefined])
    for (const [name, [expression, holds]] of Object.entries(expectations)) {
      results.push([name, failureOf(evaluate(directory, expression), holds)])
    }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
  return {
    passed: results.filter(([, failure]) => failure === undefined).length,
    failed: results.flatMap(([name, detail]) => (detail === undefined ? [] : [{ name: `flake: ${name}`, detail }])),
    skipped: []
  }
}
