import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import * as smol from "smol-toml"
import { parseToml } from "../../src/config/toml/parse.ts"
import { printArray, printInlineTable, printKey, printString } from "../../src/config/toml/print.ts"
import { plain } from "./support.ts"

const parse = (text: string) => parseToml({ name: "test.toml", text, kind: "file" })

describe("TOML 1.1", () => {
  it.each([
    "a = 1\nb.c = 'x'\n[b.d]\ne = [1, [2, 3], { f = true }]\n",
    '[x.y]\na=1\n[x]\nb=2\n[x.z."q.r"]\nc=3\n',
    "[[t]]\na=1\n[t.u]\nb=2\n[[t]]\na=3\n[[t.v]]\nc=4\n[[t.v]]\nc=5\n",
    's = """\nline\\\n   joined "quotes"\n"""\nl = \'\'\'raw \\n\'\'\'\n',
    "i = [0x1F, 0o17, 0b11, 1_000, -0]\nf = [1.5, -2e3]\n",
    'inline = { a.b = 1, "c d" = [ ],\n  e = 2, }\n',
    '\uFEFF# with a byte order mark\r\nk = "\\u00e9\\x41\\e"\r\n',
    '"__proto__" = 1\n[constructor]\nprototype = 2\n',
    ""
  ])("%j gives what smol-toml gives", (text) => {
    const tree = Result.getOrThrow(parse(text))
    assert.deepStrictEqual(JSON.stringify(plain(tree)), JSON.stringify(smol.parse(text)))
  })

  it.each([
    "a = 1\na = 2",
    "[a]\n[a]",
    "a = ",
    "a = 'x",
    "a = [1",
    "= 1",
    "a = 1 b = 2",
    "[a\n",
    "a = 2026-02-30",
    'a = "\\q"'
  ])("%j is refused with a place", (text) => {
    const result = parse(text)
    if (Result.isSuccess(result)) return assert.fail("accepted")
    assert.match(result.failure.text, /^not valid TOML: \S/)
    assert.isAtLeast(result.failure.at.line, 1)
    assert.isAtLeast(result.failure.at.column, 1)
  })

  it("knows where keys and values stand", () => {
    const tree = Result.getOrThrow(parse('[crio.runtime]\n  a . b = [1,\n    "😀x", 5]\n'))
    const runtime = tree.entries.get("crio")?.value
    if (runtime?.type !== "table") return assert.fail("no table")
    const a = runtime.entries.get("runtime")?.value
    if (a?.type !== "table") return assert.fail("no table")
    const b = a.entries.get("a")?.value
    if (b?.type !== "table") return assert.fail("no table")
    const entry = b.entries.get("b")
    if (entry?.value.type !== "array") return assert.fail("no array")
    const places = [entry.keyAt, entry.value.at, ...entry.value.items.map((item) => item.at)]
    assert.deepStrictEqual(
      places.map(({ line, column, length }) => [line, column, length]),
      [
        [2, 3, 5],
        [2, 11, 3],
        [2, 12, 1],
        [3, 5, 5],
        [3, 12, 1]
      ]
    )
  })
})

describe("printing", () => {
  it.each(['"\\', "\0\b\t\n\f\r\u001f\u007f\u0080", "😀é", "", "\ud800"])("strings: %j", (text) => {
    assert.deepStrictEqual(smol.parse(`a = ${printString(text)}`), { a: text.toWellFormed() })
  })
  it("keys, arrays and tables", () => {
    assert.deepStrictEqual(["a-b_1", "a.b", "", "é"].map(printKey), ["a-b_1", '"a.b"', '""', '"é"'])
    const long = Array.from({ length: 20 }, (_, index) => printString(`item ${index}`))
    assert.strictEqual((smol.parse(`a = ${printArray(long)}`)["a"] as Array<unknown>).length, 20)
    assert.strictEqual(printInlineTable([["a/b", "1"]]), '{ "a/b" = 1 }')
    assert.strictEqual(printInlineTable([]), "{}")
  })
})
