import { assert, describe, it } from "@effect/vitest"
import { constants } from "node:os"
import { Signal } from "../../src/gen/runtime/v1/api.ts"
import { parseSignal, signalFromCri, signalName, signalToCri, stopSignal } from "../../src/model/Signal.ts"

describe("parseSignal", () => {
  it("knows every signal of this system by name", () => {
    for (const [name, number] of Object.entries(constants.signals)) {
      assert.strictEqual(parseSignal(name), number, name)
      assert.strictEqual(parseSignal(name.slice(3).toLowerCase()), number, name)
    }
  })

  it.each([
    ["15", 15],
    [" SIGTERM ", 15],
    ["SIGRTMIN", 34],
    ["RTMIN+3", 37],
    ["sigrtmin+30", 64],
    ["SIGRTMAX", 64],
    ["RTMAX-14", 50]
  ])("%s is %i", (text, number) => assert.strictEqual(parseSignal(text), number))

  it.each(["", "SIG", "0", "65", "-9", "1e1", "SIGRTMIN+31", "RTMIN-1", "RTMAX+1", "SIGFOO", "SIGSIGTERM", "9\0"])(
    "%j is none",
    (text) => assert.isUndefined(parseSignal(text))
  )
})

describe("CRI's enum", () => {
  const members = Object.entries(Signal).filter(([, value]) => value !== Signal.SIGNAL_RUNTIME_DEFAULT)

  it.each(members)("%s", (name, value) => {
    const text = name.replace("SIGNAL_", "").replace("PLUS", "+").replace("MINUS", "-")
    const number = parseSignal(text)
    assert.isDefined(number)
    assert.strictEqual(signalFromCri(value), number)
    assert.strictEqual(signalFromCri(signalToCri(number ?? 0)), number)
  })

  it("has no number for the default and for values to come", () => {
    assert.isUndefined(signalFromCri(Signal.SIGNAL_RUNTIME_DEFAULT))
    assert.isUndefined(signalFromCri(66))
    assert.strictEqual(signalToCri(32), Signal.SIGNAL_RUNTIME_DEFAULT)
  })

  it("answers the better known of two names", () => {
    assert.strictEqual(signalToCri(17), Signal.SIGNAL_SIGCHLD)
    assert.strictEqual(signalToCri(6), Signal.SIGNAL_SIGABRT)
  })
})

it("names read back as the same number", () => {
  for (let number = 1; number <= 64; number++) assert.strictEqual(parseSignal(signalName(number)), number)
})

it("stopSignal takes the request's, then the image's, then SIGTERM", () => {
  assert.strictEqual(stopSignal(Signal.SIGNAL_SIGUSR1, "SIGQUIT"), 10)
  assert.strictEqual(stopSignal(Signal.SIGNAL_RUNTIME_DEFAULT, "SIGQUIT"), 3)
  assert.strictEqual(stopSignal(Signal.SIGNAL_RUNTIME_DEFAULT, "; rm -rf /"), 15)
})
