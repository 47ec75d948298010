import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { parseImageUser } from "../../src/model/ImageUser.ts"

const id = (value: number) => ({ _tag: "Id", id: value })
const name = (value: string) => ({ _tag: "Name", name: value })

describe("parseImageUser", () => {
  it.each([
    ["", {}],
    ["0", { user: id(0) }],
    ["1000:100", { user: id(1000), group: id(100) }],
    ["2147483647", { user: id(2147483647) }],
    ["000123", { user: id(123) }],
    ["www-data:adm", { user: name("www-data"), group: name("adm") }],
    ["3proxy", { user: name("3proxy") }],
    ["user:", { user: name("user") }],
    [":5", { group: id(5) }]
  ])("%j", (text, expected) => assert.deepStrictEqual(Result.getOrThrow(parseImageUser(text)), expected))

  it.each([
    "2147483648",
    "4294967296",
    "9".repeat(30),
    "-1",
    "+1",
    " 0",
    "0 ",
    "0\n",
    "1:2:3",
    "1:-1",
    "1:4294967295",
    "a b",
    "../etc",
    "a/b",
    "-x",
    "\u0000"
  ])("refuses %j", (text) => assert.isTrue(Result.isFailure(parseImageUser(text))))
})
