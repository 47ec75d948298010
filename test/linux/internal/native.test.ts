import { assert, describe, it } from "@effect/vitest"
import { fstatSync } from "node:fs"
import { close, dupAbove, errnoName, NativeError, openat2, pipe, setns } from "../../../src/linux/internal/native.ts"
import { decodeWaitStatus } from "../../../src/linux/internal/reaper.ts"

describe("errnoName", () => {
  it("spells as node:fs does, also what libuv does not know", () => {
    assert.deepStrictEqual([1, 2, 11, 35, 95, 117, 4000, 0].map(errnoName), [
      "EPERM",
      "ENOENT",
      "EAGAIN",
      "EDEADLK",
      "ENOTSUP",
      "EUCLEAN",
      "E4000",
      "E0"
    ])
  })
})

describe("the C library", () => {
  it("a refused call throws with its errno", () => {
    const refused = (call: () => unknown) => {
      try {
        call()
      } catch (error) {
        return error instanceof NativeError ? error.code : error
      }
      return "done"
    }
    assert.strictEqual(
      refused(() => close(-1)),
      "EBADF"
    )
    assert.strictEqual(
      refused(() => openat2(-100, "/no/such", 0, 0)),
      "ENOENT"
    )
    assert.strictEqual(
      refused(() => setns(0, 0x40000000)),
      "EINVAL"
    )
  })
  it("descriptors are raised above the minimum", () => {
    const [reader, writer] = pipe()
    const raised = dupAbove(reader, 500)
    assert.isAtLeast(raised, 500)
    assert.isTrue(fstatSync(raised).isFIFO())
    for (const fd of [reader, writer, raised]) close(fd)
  })
})

describe("decodeWaitStatus", () => {
  it("tells exit codes from signals, with and without a core", () => {
    assert.deepStrictEqual([0, 0xff00, 9, 0x8b].map(decodeWaitStatus), [
      { code: 0, signal: null },
      { code: 255, signal: null },
      { code: null, signal: 9 },
      { code: null, signal: 11 }
    ])
  })
})
