import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { type HookSubject, parseHookDefinition } from "../../../src/oci/hooks/hookFile.ts"

const definition = (fields: object = {}) =>
  parseHookDefinition(
    JSON.stringify({
      version: "1.0.0",
      hook: { path: "/usr/bin/hook", args: ["hook", "x"], timeout: 3 },
      when: { always: true },
      stages: ["prestart", "poststop"],
      ...fields
    })
  )

const subject: HookSubject = {
  annotations: { "com.example.gpu": "yes", other: "no" },
  command: "/usr/sbin/httpd",
  hasBindMounts: false
}
const matches = (when: object, changes: Partial<HookSubject> = {}) =>
  Result.getOrThrow(definition({ when })).matches({ ...subject, ...changes })

describe("hook definitions", () => {
  it("name a hook and its stages", () => {
    const { hook, stages } = Result.getOrThrow(definition())
    assert.deepStrictEqual(hook, { path: "/usr/bin/hook", args: ["hook", "x"], env: [], timeout: 3 })
    assert.deepStrictEqual(stages, ["prestart", "poststop"])
    const bare = Result.getOrThrow(definition({ hook: { path: "/h" } }))
    assert.deepStrictEqual(bare.hook, { path: "/h", env: [] })
  })

  const table: ReadonlyArray<readonly [object, Partial<HookSubject>, boolean]> = [
    [{ always: true }, {}, true],
    [{ always: false }, {}, false],
    [{}, {}, false],
    [{ commands: ["httpd$"] }, {}, true],
    [{ commands: ["^httpd", "^/usr/s"] }, {}, true],
    [{ commands: ["nginx"] }, {}, false],
    [{ hasBindMounts: true }, {}, false],
    [{ hasBindMounts: true }, { hasBindMounts: true }, true],
    [{ hasBindMounts: false }, {}, false],
    [{ annotations: { "^com\\.example\\.": "^yes$" } }, {}, true],
    [{ annotations: { gpu: "no" } }, {}, false],
    [{ annotations: { gpu: "yes", other: "no" } }, {}, true],
    [{ annotations: { gpu: "yes", third: "." } }, {}, false],
    [{ always: true, commands: ["nginx"] }, {}, false],
    [{ always: true, hasBindMounts: true, commands: ["httpd"] }, { hasBindMounts: true }, true]
  ]
  for (const [when, changes, expected] of table) {
    it(`${JSON.stringify(when)} for ${JSON.stringify(changes)}: ${expected}`, () =>
      assert.strictEqual(matches(when, changes), expected))
  }

  for (const [name, fields] of [
    ["another version", { version: "0.1.0" }],
    ["no stage", { stages: [] }],
    ["a stage that only podman has", { stages: ["precreate"] }],
    ["a hook found by PATH", { hook: { path: "hook" } }],
    ["a pattern that is none", { when: { commands: ["("] } }]
  ] as const) {
    it(`refuses ${name} in one line`, () => {
      const result = definition(fields)
      assert.isTrue(Result.isFailure(result))
      assert.notInclude(Result.isFailure(result) ? result.failure : "\n", "\n")
    })
  }
})
