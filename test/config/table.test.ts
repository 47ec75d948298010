import { assert, describe, it } from "@effect/vitest"
import crio from "./fixtures/crio-options.json" with { type: "json" }
import { allKeys, pathText } from "../../src/config/spellings.ts"
import { defaultSettings, patchSettings } from "../../src/config/document.ts"
import { spelled } from "./support.ts"

const byPath = new Map(allKeys.map(({ path, member }) => [pathText(path), member]))

describe("the option table", () => {
  it("has exactly CRI-O's 158 keys", () => {
    assert.strictEqual(crio.length, 158)
    assert.deepStrictEqual([...byPath.keys()].sort(), crio.map(({ path }) => path).sort())
  })

  it.each(crio)("$path has CRI-O's flags, variable, reload class and deprecation", (row) => {
    const member = byPath.get(row.path)
    assert.isDefined(member)
    assert.deepStrictEqual(member.flags ?? [], row.flags)
    assert.strictEqual(member.env ?? "", row.env)
    if (row.reload) assert.strictEqual(member.reload, "signal")
    else assert.notStrictEqual(member.reload, "signal")
    if (member.member === "option") assert.strictEqual(member.deprecated !== undefined, row.deprecated)
  })

  it.each(crio.filter(({ default: value }) => value !== null && typeof value !== "object"))(
    "$path has CRI-O's default",
    (row) => {
      const member = byPath.get(row.path)
      if (member?.member !== "option") return assert.fail("not an option")
      const expected = typeof row.default === "string" ? JSON.stringify(row.default) : String(row.default)
      assert.strictEqual(member.kind.encode(member.default), expected)
    }
  )

  it.each(crio.filter(({ default: value }) => Array.isArray(value)))("$path has CRI-O's default list", (row) => {
    const member = byPath.get(row.path)
    if (member?.member !== "option") return assert.fail("not an option")
    assert.deepStrictEqual(member.default, row.default)
  })

  it("gives every flag and variable to one option only", () => {
    const flags = allKeys.flatMap(({ member }) => member.flags ?? [])
    const variables = allKeys.flatMap(({ member }) => (member.env === undefined ? [] : [member.env]))
    assert.strictEqual(new Set(flags).size, flags.length)
    assert.strictEqual(new Set(variables).size, variables.length)
  })

  it("has defaults that its own kinds accept", () => {
    for (const { path, member } of allKeys) {
      if (member.member !== "option") continue
      const at = { source: { name: "", text: "", kind: "whole" }, line: 1, column: 1, length: 1 } as const
      const text = member.kind.encode(member.default)
      const node = text.startsWith('"')
        ? ({ type: "string", at, value: JSON.parse(text) as string } as const)
        : text === "true" || text === "false"
          ? ({ type: "boolean", at, value: text === "true" } as const)
          : /^-?\d+$/.test(text)
            ? ({ type: "integer", at, value: Number(text) } as const)
            : undefined
      if (node === undefined) continue
      assert.strictEqual(member.kind.decode(node)._tag, "Success", pathText(path))
    }
  })

  it("knows crun and runc before anything is configured", () => {
    const { runtimes, default_runtime } = defaultSettings.runtime
    assert.deepStrictEqual(Object.keys(runtimes), ["crun", "runc"])
    assert.strictEqual(default_runtime, "crun")
    assert.strictEqual(runtimes["crun"]?.runtime_root, "/run/crun")
    assert.strictEqual(runtimes["crun"]?.container_min_memory, 500 * 1024)
    assert.strictEqual(runtimes["runc"]?.container_min_memory, 12 * 1024 * 1024)
  })

  it("patches options and replaces handlers", () => {
    const settings = patchSettings(defaultSettings, {
      crio: { root: "/x" },
      runtime: { runtimes: { crun: { runtime_path: "/c" }, kata: { runtime_type: "vm" } } }
    })
    const before = spelled(defaultSettings)
    const after = spelled(settings)
    const changed = Object.keys(after).filter((path) => path in before && before[path] !== after[path])
    assert.deepStrictEqual(changed.sort(), ["crio.root", "crio.runtime.runtimes.crun.runtime_path"])
    assert.strictEqual(settings.runtime.runtimes["kata"]?.runtime_type, "vm")
    assert.strictEqual(defaultSettings.crio.root, "/var/lib/containers/storage")
  })
})
