import { assert, describe, it } from "@effect/vitest"
import { existsSync, readFileSync } from "node:fs"
import { readmeWithMatrix } from "../../scripts/lib/rpcMatrix.mjs"
import { handlers } from "../../src/cri/handlers.ts"

const documents = ["README.md", "CONTRIBUTING.md", "docs/architecture.md"]

describe("README", () => {
  it("names every RPC that is built, and no other (npm run docs)", () => {
    const readme = readFileSync("README.md", "utf8")
    assert.strictEqual(readme, readmeWithMatrix(readme))
    const named = [...readme.matchAll(/^\| (\w+) \| built \|$/gm)].map(([, name]) => name)
    const built = [...Object.keys(handlers.runtime), ...Object.keys(handlers.image)]
    assert.sameMembers(named, built)
  })
})

describe.each(documents)("%s", (path) => {
  it("links to files that are there and to npm scripts that exist", () => {
    const text = readFileSync(path, "utf8")
    const folder = path.includes("/") ? `${path.slice(0, path.lastIndexOf("/"))}/` : ""
    const links = [...text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, target]) => target ?? "")
    for (const link of links) assert.isTrue(existsSync(`${folder}${link}`), `${path} links to ${link}`)
    const { scripts } = JSON.parse(readFileSync("package.json", "utf8")) as { scripts: Record<string, string> }
    for (const [, name] of text.matchAll(/`npm run ([\w:]+)/g)) assert.property(scripts, name ?? "")
  })
})
