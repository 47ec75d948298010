// The table of RPCs in README.md, out of the proto and the handlers that are there.
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const textOf = (path) => readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), "utf8")

const begin = "<!-- rpcs: made by `npm run docs` -->"
const end = "<!-- end of rpcs -->"

/** Names by service, in the proto's order. */
const rpcs = () =>
  [...textOf("proto/runtime/v1/api.proto").matchAll(/^service (\w+) \{\n(.*?)^\}/gms)].map(([, service, body]) => ({
    service,
    names: [...body.matchAll(/^ {2}rpc (\w+)\(/gm)].map(([, name]) => name)
  }))

const built = () => new Set([...textOf("src/cri/handlers.ts").matchAll(/^ {4}(\w+): \w+,?$/gm)].map(([, name]) => name))

/** The table as it has to be. */
export const rpcMatrix = () => {
  const there = built()
  const sections = rpcs().map(({ service, names }) => {
    const count = names.filter((name) => there.has(name)).length
    const rows = names.map((name) => `| ${name} | ${there.has(name) ? "built" : "Unimplemented"} |`)
    return [`| ${service} | ${count} of ${names.length} |`, "|---|---|", ...rows].join("\n")
  })
  return sections.join("\n\n")
}

/** README.md with the table as it has to be. */
export const readmeWithMatrix = (readme) => {
  const [before, rest] = readme.split(begin)
  const [, after] = (rest ?? "").split(end)
  if (after === undefined) throw new Error(`README.md lacks "${begin}" or "${end}"`)
  return `${before}${begin}\n\n${rpcMatrix()}\n\n${end}${after}`
}
