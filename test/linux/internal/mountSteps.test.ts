import { assert, describe, it } from "@effect/vitest"
import { makesMount, mountSteps } from "../../../src/linux/internal/mountSteps.ts"
import type { MountFlag } from "../../../src/linux/Mounts.ts"

const request = (type: string, data: string, ...flags: ReadonlyArray<MountFlag>) => ({
  source: "s",
  target: "t",
  type,
  data,
  flags
})
const bare = { type: null, data: null }

describe("mountSteps", () => {
  it("a file system is one call", () => {
    assert.deepStrictEqual(mountSteps(request("tmpfs", "size=1m", "nosuid", "nodev", "noexec", "ro")), [
      { flags: 0xf, type: "tmpfs", data: "size=1m" }
    ])
    assert.deepStrictEqual(mountSteps(request("proc", "")), [{ flags: 0, type: "proc", data: null }])
  })
  it("a bind gets its attributes by a remount and its propagation by a third call", () => {
    assert.deepStrictEqual(mountSteps(request("", "", "bind", "rec", "ro", "nodev", "slave")), [
      { flags: 0x5000, ...bare },
      { flags: 0x1025, ...bare },
      { flags: (1 << 19) | 0x4000, ...bare }
    ])
  })
  it("propagation alone is one call", () => {
    assert.deepStrictEqual(mountSteps(request("", "", "private", "rec")), [{ flags: (1 << 18) | 0x4000, ...bare }])
  })
  it("remounts of a file system and of a bind differ", () => {
    assert.deepStrictEqual(mountSteps(request("", "size=2m", "remount")), [
      { flags: 0x20, type: null, data: "size=2m" }
    ])
    assert.deepStrictEqual(mountSteps(request("", "", "remount", "bind", "ro")), [{ flags: 0x1021, ...bare }])
  })
  it("nothing asked, nothing done", () => {
    assert.deepStrictEqual(mountSteps(request("", "", "ro")), [])
  })
})

describe("makesMount", () => {
  it("tells new mounts from changes of old ones", () => {
    const cases = [
      request("", "", "bind"),
      request("tmpfs", ""),
      request("", "", "remount", "bind"),
      request("", "", "private")
    ]
    assert.deepStrictEqual(cases.map(makesMount), [true, true, false, false])
  })
})
