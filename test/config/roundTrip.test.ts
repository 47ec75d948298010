import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import * as smol from "smol-toml"
import { defaultSettings } from "../../src/config/document.ts"
import { allKeys, pathText } from "../../src/config/spellings.ts"
import type { Option } from "../../src/config/table/option.ts"
import { printTemplate } from "../../src/config/template.ts"
import type { TomlNode } from "../../src/config/toml/node.ts"
import { read, spelled } from "./support.ts"

const at = { source: { name: "", text: "", kind: "whole" }, line: 1, column: 1, length: 1 } as const

type Value = string | number | boolean | ReadonlyArray<string> | { readonly [key: string]: string }

const node = (value: Value): TomlNode => {
  if (typeof value === "string") return { type: "string", at, value }
  if (typeof value === "number") return { type: "integer", at, value }
  if (typeof value === "boolean") return { type: "boolean", at, value }
  if (Array.isArray(value)) return { type: "array", at, items: value.map(node) }
  const entries = Object.entries(value).map(([key, item]) => [key, { key, keyAt: at, value: node(item) }] as const)
  return { type: "table", at, entries: new Map(entries) }
}

/** Forms that the kinds of string take, built around free text. */
const forms = (text: string): ReadonlyArray<string> => [text, `/${text}`, `K=${text}`, `/dev/${text}`]

const fixed = [
  ..."overlay mkdir bind disabled first pod cgroupfs debug VersionTLS13 checkpoint_only container vm none".split(" "),
  "CAP_SYS_ADMIN",
  "nofile=1024:2048",
  "0:100000:65536",
  "0-3,7",
  "1h2m3.5s",
  "::1",
  "collector:4317",
  "3GiB",
  "10010",
  "memory",
  "user.slice",
  "runc",
  ""
]

/** Values made from free text and numbers, the odd ones first. */
const candidates = (texts: ReadonlyArray<string>, numbers: ReadonlyArray<number>): ReadonlyArray<Value> => {
  const strings = [...texts.flatMap(forms), ...fixed]
  return [
    Object.fromEntries(texts.map((text, index) => [`${text}/${index}`, `/${text}`])),
    ...strings,
    ...numbers,
    true,
    false,
    ...[0, 1, 2, 3].map((form) => texts.map((text) => forms(text)[form] ?? "")),
    ...fixed.map((text) => [text, text])
  ]
}

/** The first candidates that the option takes and that are not its default. */
const choose = (option: Option<unknown>, values: ReadonlyArray<Value>): Value | undefined =>
  values.find((value) => {
    const decoded = option.kind.decode(node(value))
    return Result.isSuccess(decoded) && option.kind.encode(decoded.success) !== option.kind.encode(option.default)
  })

interface Tree {
  [key: string]: Tree | Value
}

/** A document with a value for every key, written by another TOML library. */
const documentOf = (names: readonly [string, string], values: ReadonlyArray<Value>) => {
  const document: Tree = {}
  const paths: Array<string> = []
  for (const { path, member } of allKeys) {
    if (member.member !== "option") continue
    const value = choose(member, values)
    if (value === undefined) continue
    paths.push(pathText(path))
    const name = path[2] === "runtimes" ? names[0] : names[1]
    let table = document
    for (const part of path.slice(0, -1)) {
      const key = part === "*" ? name : part
      table = (table[key] ??= {}) as Tree
    }
    table[path.at(-1) ?? ""] = value
  }
  return { text: smol.stringify(document), paths }
}

const roundTrip = (text: string) => {
  const settings = read(text)
  for (const all of [false, true]) {
    const printed = printTemplate(settings, { all })
    assert.deepStrictEqual(spelled(read(printed)), spelled(settings))
    assert.strictEqual(printTemplate(read(printed), { all }), printed)
    smol.parse(printed)
  }
  return settings
}

const odd = ['quote " and \\', "line\nbreak\r\n\ttab", "größe 😀 \u0001\u007f", "# = [x]", "'''", '"""']

describe("what is printed reads back as the same settings", () => {
  it("the defaults", () => {
    const settings = roundTrip("")
    assert.deepStrictEqual(spelled(settings), spelled(defaultSettings))
    assert.deepStrictEqual(spelled(read(printTemplate(defaultSettings, { all: true }))), spelled(defaultSettings))
  })

  it("with another value for every key", () => {
    const { text, paths } = documentOf(["my.handler", "w-1"], candidates(odd, [7, 65_000, 1_000_000]))
    // the two collections are the tables that hold the others
    assert.strictEqual(paths.length, 156)
    const settings = roundTrip(text)
    const values = spelled(settings)
    const defaults = spelled(defaultSettings)
    const kept = Object.keys(defaults).filter(
      (path) => !path.startsWith("crio.runtime.runtimes.") && values[path] === defaults[path]
    )
    assert.deepStrictEqual(kept, [])
    assert.deepStrictEqual(
      settings.runtime.default_env,
      odd.map((item) => `K=${item}`)
    )
    assert.deepStrictEqual(
      Object.values(settings.runtime.runtimes["my.handler"]?.default_annotations ?? {}),
      odd.map((item) => `/${item}`)
    )
    assert.strictEqual(settings.runtime.workloads["w-1"]?.resources.cpuset, "0-3,7")
  })

  it("every key alone", () => {
    const { text } = documentOf(["crun", "w"], candidates(odd, [7, 65_000]))
    const whole = smol.parse(text) as Tree
    let count = 0
    const visit = (table: Tree, path: ReadonlyArray<string>): void => {
      for (const [key, value] of Object.entries(table)) {
        const map = ["default_annotations", "platform_runtime_paths"].includes(key)
        if (!map && typeof value === "object" && !Array.isArray(value)) visit(value as Tree, [...path, key])
        else {
          count++
          const alone = [...path, key].reduceRight<unknown>((inner, part) => ({ [part]: inner }), value)
          const changed = spelled(roundTrip(smol.stringify(alone)))[pathText([...path, key])]
          assert.notStrictEqual(changed, spelled(defaultSettings)[pathText([...path, key])], pathText([...path, key]))
        }
      }
    }
    visit(whole, [])
    assert.strictEqual(count, 156)
  })

  const Words = Schema.Array(Schema.String.pipe(Schema.check(Schema.makeFilter((text) => text.isWellFormed()))))
  const Numbers = Schema.Array(Schema.Int)
  it.effect.prop(
    "with any text and numbers",
    { words: Words, numbers: Numbers },
    ({ words, numbers }) =>
      Effect.sync(() => {
        const { text } = documentOf(["crun", "w"], candidates(words, numbers))
        roundTrip(text)
      }),
    { arbitrary: { runs: 60, seed: 11 } }
  )
})

describe("the template", () => {
  it("has only settings that differ from the defaults, unless all are asked for", () => {
    const settings = read('[crio]\nroot = "/x"\n[crio.runtime.runtimes.runc]\nno_sync_log = true\n')
    const lines = (all: boolean) =>
      printTemplate(settings, { all })
        .split("\n")
        .filter((line) => /^\w+ = /.test(line))
    assert.deepStrictEqual(lines(false), ['root = "/x"', "no_sync_log = true"])
    // 158 keys without the two collections and the eight keys of workloads, and runc's twenty beside crun's
    assert.strictEqual(lines(true).length, 158 - 2 - 8 + 20)
  })

  it("explains every key with unit, flag, variable and state", () => {
    const text = printTemplate(defaultSettings, { all: false })
    for (const { path, member } of allKeys) {
      if (member.member !== "option") continue
      assert.match(text, new RegExp(`^# ${path.at(-1)} = `, "m"), pathText(path))
      if (member.env !== undefined) assert.include(text.replaceAll(/\n# /g, " "), `environment: ${member.env}`)
    }
    assert.include(text, "# Value: an integer from 1 to 2147483647 (bytes).")
    assert.include(text, "# Not built yet: accepted without effect.")
    for (const line of text.split("\n")) if (!/ = |CONTAINER_/.test(line)) assert.isAtMost(line.length, 100)
  })
})
