// Imports go down the floors of the house (docs/architecture.md) and form no circle. Types of src/gen may be named from
// any floor. Prints each offence as file:line and exits 1.
import { readdirSync, readFileSync, statSync } from "node:fs"
import { dirname, join, relative, resolve } from "node:path"
import { fileURLToPath } from "node:url"

const source = fileURLToPath(new URL("../src", import.meta.url))

const floors = {
  gen: 0,
  linux: 0,
  model: 0,
  config: 1,
  cgroup: 1,
  store: 2,
  cni: 2,
  oci: 2,
  conmon: 2,
  image: 3,
  pod: 4,
  streaming: 5,
  stats: 5,
  admin: 5,
  cri: 6,
  cli: 7,
  harness: 7,
  "runtimeStatus.ts": 7,
  "main.ts": 7,
  "daemon.ts": 7
}

const filesBelow = (directory) =>
  readdirSync(directory).flatMap((name) => {
    const path = join(directory, name)
    if (statSync(path).isDirectory()) return filesBelow(path)
    return path.endsWith(".ts") ? [path] : []
  })

const roomOf = (path) => relative(source, path).split("/")[0]

/** Static and dynamic imports and re-exports with the line they are on. */
const importsOf = (path) => {
  const text = readFileSync(path, "utf8")
  const found = []
  for (const match of text.matchAll(
    /^(?:import|export)\s+(type\s)?[^"'`;]*?from\s+"(\.[^"]+)"|import\("(\.[^"]+)"\)/gm
  )) {
    const line = text.slice(0, match.index).split("\n").length
    found.push({ line, typeOnly: match[1] !== undefined, target: resolve(dirname(path), match[2] ?? match[3]) })
  }
  return found
}

const offences = []
const graph = new Map()
for (const path of filesBelow(source)) {
  const room = roomOf(path)
  const where = (line) => `${relative(process.cwd(), path)}:${line}`
  if (!(room in floors)) offences.push(`${where(1)}: room ${room} has no floor in scripts/check-imports.mjs`)
  if (room === "gen") continue
  const imports = importsOf(path)
  // Types are erased: only imports that run can form a circle that matters.
  graph.set(
    path,
    imports.filter(({ typeOnly }) => !typeOnly).map(({ target }) => target)
  )
  for (const { line, target } of imports) {
    const other = roomOf(target)
    if (other === room || other === "gen") continue
    if (floors[other] > floors[room]) offences.push(`${where(line)}: ${room} imports ${other}, which is above it`)
    else if (floors[other] === floors[room] && floors[room] < 7) {
      offences.push(`${where(line)}: ${room} imports ${other}, which is on the same floor`)
    }
    if (target.includes("/internal/")) offences.push(`${where(line)}: ${other}/internal is private to ${other}`)
  }
}

const state = new Map()
const visit = (path, trail) => {
  if (state.get(path) === "done" || !graph.has(path)) return
  if (state.get(path) === "open") {
    const circle = [...trail.slice(trail.indexOf(path)), path].map((one) => relative(source, one))
    offences.push(`circle: ${circle.join(" -> ")}`)
    return
  }
  state.set(path, "open")
  for (const target of graph.get(path)) visit(target, [...trail, path])
  state.set(path, "done")
}
for (const path of graph.keys()) visit(path, [])

for (const offence of offences) process.stderr.write(`${offence}\n`)
process.stdout.write(`imports: ${graph.size} files, ${offences.length} offences\n`)
process.exit(offences.length === 0 ? 0 : 1)
