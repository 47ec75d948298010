import { assert, describe, it } from "@effect/vitest"
import { hasEnded, parseStat } from "../../../src/linux/internal/procStat.ts"

const line = (command: string, state: string, threads: number) =>
  `4242 (${command}) ${state} 17 4242 99 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 ${threads} 0 8817 123 45 18446744073709551615\n`

describe("parseStat", () => {
  it("reads the fields after the command", () => {
    assert.deepStrictEqual(parseStat(line("conmon", "S", 1)), {
      pid: 4242,
      parent: 17,
      session: 99,
      startTime: 8817,
      state: "S",
      command: "conmon"
    })
  })
  it("is not deceived by a command that looks like fields", () => {
    const info = parseStat(line("a) Z 1 (b c", "R", 1))
    assert.deepStrictEqual([info?.command, info?.state, info?.parent], ["a) Z 1 (b c", "R", 17])
  })
  it("a process whose first thread has ended runs on", () => {
    assert.strictEqual(parseStat(line("x", "Z", 2))?.state, "S")
    assert.strictEqual(parseStat(line("x", "Z", 1))?.state, "Z")
  })
  it("refuses anything else", () => {
    assert.isUndefined(parseStat(""))
    assert.isUndefined(parseStat("1 (x) S 1 2"))
    assert.isUndefined(parseStat("x (x) S 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1"))
  })
})

describe("hasEnded", () => {
  it("zombies and the dead", () => {
    const info = parseStat(line("x", "S", 1))!
    assert.deepStrictEqual(
      ["R", "S", "D", "T", "Z", "X"].filter((state) => hasEnded({ ...info, state })),
      ["Z", "X"]
    )
  })
})
