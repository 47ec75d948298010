import { assert, describe, it } from "@effect/vitest"
import { Duration, Result } from "effect"
import { list } from "../../src/config/kind/composite.ts"
import * as formats from "../../src/config/kind/formats.ts"
import type { Kind } from "../../src/config/kind/Kind.ts"
import { boolean, integer, oneOf, path, text } from "../../src/config/kind/scalar.ts"
import { duration, memorySize, parseGoDuration, portText, printGoDuration } from "../../src/config/kind/units.ts"
import type { Place } from "../../src/config/toml/node.ts"

const at: Place = { source: { name: "test", text: "", kind: "whole" }, line: 1, column: 1, length: 1 }
const fromText = <A>(kind: Kind<A>, value: string): A | undefined =>
  Result.getOrUndefined(kind.decode(kind.fromText(value, at)))

describe("Go durations", () => {
  it.each([
    ["0", 0n, "0s"],
    ["0s", 0n, "0s"],
    ["1ns", 1n, "1ns"],
    ["1.5us", 1_500n, "1.5µs"],
    ["2µs", 2_000n, "2µs"],
    ["20ms", 20_000_000n, "20ms"],
    ["1.5s", 1_500_000_000n, "1.5s"],
    ["90s", 90_000_000_000n, "1m30s"],
    ["1h", 3_600_000_000_000n, "1h0m0s"],
    ["1h0m0.5s", 3_600_500_000_000n, "1h0m0.5s"],
    [".5s", 500_000_000n, "500ms"]
  ])("%s", (spelling, nanoseconds, printed) => {
    assert.strictEqual(parseGoDuration(spelling), nanoseconds)
    assert.strictEqual(printGoDuration(nanoseconds), printed)
    assert.strictEqual(parseGoDuration(printed), nanoseconds)
  })

  it.each(["", "5", "s", "-1s", "1d", "1s ", ".s", "1.2.3s", "300000000h"])("refuses %j", (spelling) => {
    assert.isUndefined(parseGoDuration(spelling))
  })

  it("are Durations in the settings", () => {
    assert.strictEqual(Duration.toMillis(fromText(duration, "1m0.25s") ?? Duration.zero), 60_250)
  })
})

describe("memory sizes", () => {
  const size = memorySize(7)
  it.each([
    ["12MiB", 12 * 1024 ** 2],
    ["12mb", 12 * 1024 ** 2],
    ["500k", 500 * 1024],
    ["1.5 GiB", 1.5 * 1024 ** 3],
    ["17", 17],
    ["0", 0],
    ["", 7]
  ])("%s", (spelling, bytes) => {
    assert.strictEqual(fromText(size, spelling), bytes)
    assert.strictEqual(fromText(size, JSON.parse(size.encode(bytes)) as string), bytes)
  })
  it.each(["MiB", "-1", "1 XB", "99999999PiB"])("refuses %j", (spelling) => {
    assert.isUndefined(fromText(size, spelling))
  })
})

describe("formats", () => {
  const cases: ReadonlyArray<readonly [string, Kind<string>, ReadonlyArray<string>, ReadonlyArray<string>]> = [
    ["path", path, ["/", "/a b"], ["", "a", "./a", "/a\0"]],
    ["capability", formats.capability, ["NET_ADMIN", "cap_net_admin", "BPF"], ["ALL", "", "NET_ADMINS"]],
    ["keyValue", formats.keyValue, ["A=", "A=b=c"], ["A", "=x", ""]],
    [
      "ulimit",
      formats.ulimit,
      ["nofile=1:2", "nofile=1", "core=-1:-1", "core=1:-1"],
      ["nofile=2:1", "files=1:1", "nofile=-1:1", "nofile="]
    ],
    [
      "device",
      formats.device,
      ["/dev/a", "/dev/a:/dev/b", "/dev/a:/dev/b:rwm", "/dev/a:r"],
      ["", "/etc/a", "/dev/../etc/x", "/dev/a:/dev/b:x", "/dev/a:/dev/b:rr", "/dev/a:/dev/b:/dev/c"]
    ],
    ["cpuset", formats.cpuset, ["", "0", "0-3,7"], ["3-1", "a", "1,", "0-"]],
    ["idMappings", formats.idMappings, ["", "0:100000:65536", "0:1:1,1:2:3"], ["0:1", "0:1:0", "a:b:c"]],
    ["ipAddress", formats.ipAddress, ["127.0.0.1", "::", "fe80::1"], ["", "localhost", "1.2.3", "1.2.3.256", "::g"]],
    [
      "hostPort",
      formats.hostPort,
      ["127.0.0.1:4317", "otel:1", "[::1]:80"],
      ["otel", "otel:", "otel:65536", ":1", "a:b:1"]
    ],
    ["monitorCgroup", formats.monitorCgroup, ["", "pod", "system.slice"], ["system", "a/b.slice"]],
    ["regularExpression", formats.regularExpression, ["", "request.*"], ["(", "["]],
    ["handlerName", formats.handlerName, ["crun", "kata-qemu"], ["", "-x", "a/b"]]
  ]
  it.each(cases)("%s", (_, kind, valid, invalid) => {
    for (const value of valid) assert.strictEqual(fromText(kind, value), value, `accepts ${JSON.stringify(value)}`)
    for (const value of invalid) assert.isUndefined(fromText(kind, value), `refuses ${JSON.stringify(value)}`)
  })
})

describe("text of flags and variables", () => {
  it("takes Go's booleans", () => {
    assert.deepStrictEqual(
      ["1", "t", "TRUE", "false", "0", "yes", ""].map((value) => fromText(boolean, value)),
      [true, true, true, false, false, undefined, undefined]
    )
  })
  it("takes integers within bounds", () => {
    const kind = integer({ min: -1, max: 10 })
    assert.deepStrictEqual(
      ["-1", "+10", "11", "1.0", "9007199254740993", ""].map((value) => fromText(kind, value)),
      [-1, 10, undefined, undefined, undefined, undefined]
    )
  })
  it("splits lists at commas and places each item", () => {
    const kind = list(path, "absolute paths")
    assert.deepStrictEqual(fromText(kind, "/a, /b,"), ["/a", "/b"])
    const decoded = kind.decode(kind.fromText("/a,b,c", { ...at, column: 10 }))
    assert.deepStrictEqual(Result.isFailure(decoded) && decoded.failure.map((problem) => problem.at.column), [13, 15])
  })
  it("suggests the nearest word", () => {
    const decoded = oneOf("systemd", "cgroupfs").decode({ type: "string", at, value: "cgroup" })
    assert.strictEqual(Result.isFailure(decoded) && decoded.failure[0]?.suggestion, '"cgroupfs"')
  })
  it("keeps ports as numbers and refuses other strings", () => {
    assert.deepStrictEqual(
      ["0", "65535", "65536", "http"].map((value) => fromText(portText, value)),
      [0, 65_535, undefined, undefined]
    )
  })
  it("has no opinion about free text", () => {
    assert.strictEqual(fromText(text, " a,b "), " a,b ")
  })
})
