import { assert, describe, it } from "@effect/vitest"
import { choosePlatform, formatPlatform, hostPlatform } from "../../src/model/Platform.ts"

const entry = (architecture: string, variant?: string, os = "linux") => ({
  platform: { os, architecture, ...(variant === undefined ? {} : { variant }) }
})

const chosen = (entries: ReadonlyArray<ReturnType<typeof entry>>, arch: string, armVersion?: string) => {
  const found = choosePlatform(entries, hostPlatform(arch, armVersion))
  return found === undefined ? "none" : formatPlatform(found.platform)
}

describe("choosePlatform", () => {
  it("takes the entry of the host's system and architecture", () => {
    const entries = [entry("amd64", undefined, "windows"), entry("arm64", "v8"), entry("amd64"), entry("amd64")]
    assert.strictEqual(chosen(entries, "x64"), "linux/amd64")
    assert.strictEqual(choosePlatform(entries, hostPlatform("x64")), entries[2])
    assert.strictEqual(chosen(entries, "arm64"), "linux/arm64/v8")
    assert.strictEqual(chosen(entries, "s390x"), "none")
  })

  it("orders variants from best to plain", () => {
    const arm = [entry("arm", "v5"), entry("arm"), entry("arm", "v6"), entry("arm", "v7"), entry("arm", "v8")]
    assert.strictEqual(chosen(arm, "arm", "7"), "linux/arm/v7")
    assert.strictEqual(chosen(arm, "arm", "6"), "linux/arm/v6")
    assert.strictEqual(chosen(arm.slice(0, 2), "arm", "7"), "linux/arm/v5")
    assert.strictEqual(chosen([entry("arm")], "arm", "7"), "linux/arm")
    assert.strictEqual(chosen([entry("arm64")], "arm64"), "linux/arm64")
  })

  it("never picks levels the processor may lack, nor entries without a platform", () => {
    assert.strictEqual(chosen([entry("amd64", "v3"), entry("amd64", "v1")], "x64"), "linux/amd64/v1")
    assert.strictEqual(chosen([entry("amd64", "v3")], "x64"), "none")
    assert.isUndefined(choosePlatform([{}], hostPlatform("x64")))
  })
})
