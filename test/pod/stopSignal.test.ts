import { assert, describe, it } from "@effect/vitest"
import { takesSignal } from "../../src/pod/stopSignal.ts"

const SIGTERM = 15
const mask = (...signals: ReadonlyArray<number>) =>
  signals
    .reduce((bits, signal) => bits | (1n << BigInt(signal - 1)), 0n)
    .toString(16)
    .padStart(16, "0")

/** /proc/PID/status; `namespacePids` outermost first. */
const status = (namespacePids: ReadonlyArray<number>, caught = mask(), blocked = mask()) =>
  [
    "Name:\ttop",
    `NSpid:\t${namespacePids.join("\t")}`,
    "SigQ:\t0/15678",
    `SigBlk:\t${blocked}`,
    `SigIgn:\t${mask()}`,
    `SigCgt:\t${caught}`,
    ""
  ].join("\n")

describe("takesSignal", () => {
  it("the first process of a PID namespace takes what it has a handler for", () => {
    assert.isTrue(takesSignal(status([4711, 1], mask(1, SIGTERM, 17)), SIGTERM))
    assert.isFalse(takesSignal(status([4711, 1], mask(1, 14, 16)), SIGTERM))
    assert.isFalse(takesSignal(status([4711, 1]), SIGTERM))
  })

  it("runc before it becomes the container's program handles signals, and loses them", () => {
    const runc = status([4711, 1], mask(1, SIGTERM, 17)).replace("Name:\ttop", "Name:\trunc:[2:INIT]")
    assert.isFalse(takesSignal(runc, SIGTERM))
    assert.isFalse(takesSignal(runc.replace("4711\t1", "4711"), SIGTERM))
    assert.isTrue(takesSignal(runc, 9))
  })

  it("a blocked signal waits for it", () =>
    assert.isTrue(takesSignal(status([4711, 1], mask(), mask(SIGTERM)), SIGTERM)))

  it("real-time signals are bits like others", () => {
    assert.isTrue(takesSignal(status([4711, 1], mask(64)), 64))
    assert.isFalse(takesSignal(status([4711, 1], mask(63)), 64))
  })

  it("SIGKILL and SIGSTOP need no handler", () => {
    assert.isTrue(takesSignal(status([4711, 1]), 9))
    assert.isTrue(takesSignal(status([4711, 1]), 19))
  })

  it("others end by the signals they do not handle", () => {
    assert.isTrue(takesSignal(status([4711]), SIGTERM))
    assert.isTrue(takesSignal(status([4711, 21]), SIGTERM))
  })
})
