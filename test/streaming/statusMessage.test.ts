import { describe, expect, it } from "vitest"
import { statusMessage } from "../../src/streaming/statusMessage.ts"

describe("the text of the error stream", () => {
  it.each([4, 5] as const)("is a Status object in version %i, always", (version) => {
    const status = (value: Parameters<typeof statusMessage>[0]) => JSON.parse(statusMessage(value, version))
    expect(status({ _tag: "Exited", code: 0 })).toEqual({ status: "Success" })
    expect(status({ _tag: "Ended" })).toEqual({ status: "Success" })
    expect(status({ _tag: "Exited", code: 3 })).toEqual({
      status: "Failure",
      message: "command terminated with non-zero exit code: 3",
      reason: "NonZeroExitCode",
      details: { causes: [{ reason: "ExitCode", message: "3" }] }
    })
    expect(status({ _tag: "Failed", message: "no such container" })).toEqual({
      status: "Failure",
      message: "Internal error occurred: no such container",
      reason: "InternalError",
      code: 500
    })
  })

  it.each([1, 2, 3] as const)("is plain in version %i, and only of failures", (version) => {
    expect(statusMessage({ _tag: "Exited", code: 0 }, version)).toBe("")
    expect(statusMessage({ _tag: "Ended" }, version)).toBe("")
    expect(statusMessage({ _tag: "Exited", code: 3 }, version)).toBe("command terminated with non-zero exit code: 3")
    expect(statusMessage({ _tag: "Failed", message: "no such container" }, version)).toBe("no such container")
  })

  it("has no exit code that a client cannot read", () => {
    for (const code of [-1, 256, 4_294_967_295]) {
      const { details } = JSON.parse(statusMessage({ _tag: "Exited", code }, 4))
      expect(details.causes[0].message).toBe("255")
    }
  })
})
