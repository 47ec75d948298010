import { assert, describe, it } from "@effect/vitest"
import { parseSyncLine } from "../../src/conmon/internal/syncLine.ts"

describe("the sync pipe's line", () => {
  it("names the container's process", () => {
    assert.deepStrictEqual(parseSyncLine('{"pid": 4711}'), { _tag: "Created", pid: 4711 })
    assert.deepStrictEqual(parseSyncLine('{"data": 4711}'), { _tag: "Created", pid: 4711 })
  })

  it("or has the runtime's words", () => {
    assert.deepStrictEqual(parseSyncLine(String.raw`{"pid": -1, "message": "open \/x: \"é\" missing\n"}`), {
      _tag: "Refused",
      message: 'open /x: "é" missing'
    })
    assert.deepStrictEqual(parseSyncLine('{"pid": -1}'), { _tag: "Refused", message: "" })
    assert.deepStrictEqual(parseSyncLine('{"pid": 0, "message": "x"}'), { _tag: "Refused", message: "x" })
  })

  it("survives the control character that conmon does not escape", () => {
    assert.deepStrictEqual(parseSyncLine('{"pid": -1, "message": "a\u001fb"}'), { _tag: "Refused", message: "a b" })
  })

  for (const text of ["", "{", "[]", "7", '{"pid": "1"}', '{"pid": 1.5}', '{"message": "x"}', "conmon: oops"]) {
    it(`is malformed: ${JSON.stringify(text)}`, () => {
      assert.deepStrictEqual(parseSyncLine(text), { _tag: "Malformed", text })
    })
  }
})
