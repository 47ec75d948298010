import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { readFileSync } from "node:fs"
import { cleanMappings, makeGiveBack, watchWork } from "../../src/linux/restingMemory.ts"

const mapping = (heading: string, { anonymous = 0, swap = 0 } = {}) =>
  `${heading}
Size:                 12 kB
Rss:                   8 kB
Anonymous:      ${String(anonymous).padStart(8)} kB
Swap:           ${String(swap).padStart(8)} kB
VmFlags: rd ex mr mw me
`

const node = "/opt/node/bin/node"

describe("mappings that hold nothing but their file's pages", () => {
  it("are those of the file, not writable and never written to", () => {
    const smaps = [
      mapping(`00400000-00403000 r--p 00000000 fe:00 11                            ${node}`),
      mapping(`00404000-00407000 r-xp 00004000 fe:00 11                            ${node}`),
      mapping(`00408000-00409000 rw-p 00008000 fe:00 11                            ${node}`),
      mapping(`0040a000-0040b000 r--p 0000a000 fe:00 11                            ${node}`, { anonymous: 4 }),
      mapping(`0040c000-0040d000 r--p 0000c000 fe:00 11                            ${node}`, { swap: 4 }),
      mapping(`0040e000-0040f000 r--s 0000e000 fe:00 11                            ${node}`),
      mapping(`7f0000000000-7f0000001000 r-xp 00000000 fe:00 12                    ${node}-other`),
      mapping("7f0000002000-7f0000003000 r-xp 00000000 00:00 0 "),
      mapping(`7f0000004000-7f0000006000 r-xp 01627000 fe:00 11                    ${node}`)
    ].join("")
    assert.deepStrictEqual(cleanMappings(smaps, node), [
      { address: 0x400000, length: 0x3000 },
      { address: 0x404000, length: 0x3000 },
      { address: 0x7f0000004000, length: 0x2000 }
    ])
  })

  it("are none where the kernel does not say what was written", () => {
    const smaps = `00400000-00403000 r-xp 00000000 fe:00 11 ${node}\nRss: 8 kB\n`
    assert.deepStrictEqual(cleanMappings(smaps, node), [])
    assert.deepStrictEqual(cleanMappings("", node), [])
  })

  it("are resident to a smaller part once they were given back", () => {
    const text = () => readFileSync("/proc/self/smaps", "utf8")
    const resident = () =>
      text()
        .split(/\n(?=[0-9a-f]+-)/)
        .filter((part) => / r-xp .*\n/.test(part) && part.split("\n", 1)[0]!.endsWith(process.execPath))
        .reduce((sum, part) => sum + Number(/^Rss: +(\d+)/m.exec(part)?.[1]), 0)
    const before = resident()
    assert.isAbove(before, 4096)
    makeGiveBack()()
    assert.isBelow(resident(), before * 0.9)
  })
})

describe("memory is given back", () => {
  /** Seconds at which it was, for these shares of a processor at every look. */
  const timesAt = (shares: ReadonlyArray<number>) =>
    Effect.gen(function* () {
      const times: { readonly work: Array<number>; readonly rest: Array<number> } = { work: [], rest: [] }
      let looks = 0
      const share = () => shares[looks++] ?? 0
      const acts = { duringWork: () => times.work.push(looks * 5), atRest: () => times.rest.push(looks * 5) }
      const fiber = yield* Effect.forkChild(watchWork(share, acts))
      yield* TestClock.adjust(shares.length * 5_000)
      yield* Fiber.interrupt(fiber)
      return times
    })

  it.effect("once the start is over, and not again while nothing is done", () =>
    Effect.gen(function* () {
      const times = yield* timesAt([0.5, 0.05, 0.01, 0.01, 0.05, ...Array.from({ length: 20 }, () => 0.01)])
      assert.deepStrictEqual(times, { work: [5, 10], rest: [15] })
    })
  )

  it.effect("during work, and after it at most once a minute", () =>
    Effect.gen(function* () {
      const quiet = Array.from({ length: 12 }, () => 0)
      const times = yield* timesAt([0, 0.5, 0.05, 0, ...quiet, 0.3, 0.02])
      assert.deepStrictEqual(times, { work: [10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 85, 90], rest: [5, 65] })
    })
  )

  it.effect("also after a time when that failed", () =>
    Effect.gen(function* () {
      let failures = 0
      const fail = () => {
        failures += 1
        throw new Error("no")
      }
      const fiber = yield* Effect.forkChild(watchWork(() => 0.5, { duringWork: fail, atRest: fail }))
      yield* TestClock.adjust(20_000)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(failures, 4)
    })
  )
})
