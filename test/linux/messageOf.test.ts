import { describe, expect, it } from "vitest"
import { messageOf } from "../../src/linux/messageOf.ts"

describe("what a thrown value says", () => {
  it.each([
    ["an Error its message", new TypeError("no such thing"), "no such thing"],
    ["a text itself", "out of luck", "out of luck"],
    ["nothing that it is nothing", undefined, "undefined"]
  ])("%s", (_, thrown, words) => {
    expect(messageOf(thrown)).toBe(words)
  })
})
