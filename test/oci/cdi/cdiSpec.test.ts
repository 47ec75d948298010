import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import { type CdiSpec, parseCdiSpec } from "../../../src/oci/cdi/cdiSpec.ts"
import { type FoundSpec, selectDevices } from "../../../src/oci/cdi/selectDevices.ts"

const document = (fields: object = {}) => ({
  cdiVersion: "0.6.0",
  kind: "vendor.com/gpu",
  devices: [{ name: "gpu0", containerEdits: { env: ["GPU=0"] } }],
  ...fields
})

const parse = (fields: object) => parseCdiSpec("a.json", JSON.stringify(document(fields)))
const withEdits = (edits: object) => parse({ containerEdits: edits })

describe("CDI specifications", () => {
  it("are JSON or YAML, and what they leave out is empty", () => {
    const json = Result.getOrThrow(parse({ containerEdits: { deviceNodes: [{ path: "/dev/x" }] } }))
    const yaml = Result.getOrThrow(
      parseCdiSpec(
        "a.yaml",
        `cdiVersion: "0.6.0"
kind: vendor.com/gpu
containerEdits:
  deviceNodes:
    - path: /dev/x
devices:
  - name: gpu0
    containerEdits:
      env: ["GPU=0"]
`
      )
    )
    assert.deepStrictEqual(yaml, json)
    assert.deepStrictEqual(json.containerEdits, {
      env: [],
      deviceNodes: [{ path: "/dev/x", hostPath: "", type: "", permissions: "" }],
      mounts: [],
      hooks: [],
      additionalGids: [],
      netDevices: []
    })
  })

  it("pass over annotations and what newer versions add beside the edits, and Go's nulls", () => {
    const spec = Result.getOrThrow(
      parse({ annotations: { a: "b" }, later: 1, containerEdits: { env: null, hooks: null, mounts: null } })
    )
    assert.deepStrictEqual(spec.containerEdits.env, [])
  })

  const refused: ReadonlyArray<readonly [string, Result.Result<CdiSpec, string>]> = [
    ["no JSON", parseCdiSpec("a.json", "{")],
    ["no YAML", parseCdiSpec("a.yaml", "a: [")],
    ["an empty file", parseCdiSpec("a.yaml", "")],
    ["a list", parseCdiSpec("a.json", "[]")],
    ["no version", parse({ cdiVersion: undefined })],
    ["a version of another world", parse({ cdiVersion: "7.0.0" })],
    ["a kind without class", parse({ kind: "vendor.com" })],
    ["a kind with a path", parse({ kind: "vendor.com/a/b" })],
    ["a device without a name", parse({ devices: [{ containerEdits: {} }] })],
    ["a name with a slash", parse({ devices: [{ name: "a/b" }] })],
    ["a variable without value", withEdits({ env: ["A"] })],
    ["a variable with NUL", withEdits({ env: ["A=\0"] })],
    ["permissions that are none", withEdits({ deviceNodes: [{ path: "/dev/x", permissions: "rx" }] })],
    ["a negative major", withEdits({ deviceNodes: [{ path: "/dev/x", major: -1 }] })],
    ["a mount to nowhere", withEdits({ mounts: [{ hostPath: "/a" }] })],
    ["a relative destination", withEdits({ mounts: [{ hostPath: "/a", containerPath: "b" }] })],
    ["a hook of no stage", withEdits({ hooks: [{ hookName: "precreate", path: "/bin/true" }] })],
    ["a hook found by PATH", withEdits({ hooks: [{ hookName: "prestart", path: "true" }] })],
    ["a group that is no number", withEdits({ additionalGids: ["video"] })]
  ]
  for (const [name, result] of refused) {
    it(`refuses ${name} in one line`, () => {
      assert.isTrue(Result.isFailure(result))
      assert.notInclude(Result.isFailure(result) ? result.failure : "\n", "\n")
    })
  }
})

describe("whatever a file holds", () => {
  const valid = JSON.stringify(document({ containerEdits: { env: ["A=1"], deviceNodes: [{ path: "/dev/x" }] } }))
  it.effect.prop(
    "is a specification or a reason in one line",
    { text: Schema.String, at: Schema.Natural, length: Schema.Natural },
    ({ text, at, length }) =>
      Effect.sync(() => {
        const start = at % valid.length
        const damaged = `${valid.slice(0, start)}${text}${valid.slice(start + (length % 20))}`
        for (const [name, content] of [
          ["a.json", text],
          ["a.yaml", text],
          ["a.json", damaged],
          ["a.yaml", damaged]
        ] as const) {
          const result = parseCdiSpec(name, content)
          if (Result.isFailure(result)) assert.notInclude(result.failure, "\n")
        }
      }),
    { arbitrary: { runs: 200 } }
  )
  it("also when it is nested deeper than the stack", () => {
    for (const name of ["a.json", "a.yaml"]) {
      assert.isTrue(Result.isFailure(parseCdiSpec(name, "[".repeat(1_000_000))))
    }
  })
})

describe("devices by name", () => {
  const spec = (path: string, priority: number, fields: object = {}): FoundSpec => ({
    path,
    priority,
    spec: Result.getOrThrow(parse(fields))
  })
  const device = (name: string, variable: string, more: object = {}) => ({
    name,
    containerEdits: { env: [variable], ...more }
  })
  const select = (names: ReadonlyArray<string>, ...specs: ReadonlyArray<FoundSpec>) =>
    Result.match(selectDevices(names, specs), {
      onSuccess: (edits): ReadonlyArray<string> | string => edits.flatMap(({ env }) => env),
      onFailure: (reason) => reason
    })
  const two = spec("/etc/cdi/a.json", 0, {
    devices: [device("gpu0", "GPU=0"), device("gpu1", "GPU=1")],
    containerEdits: { env: ["COMMON=1"] }
  })
  const nics = spec("/etc/cdi/b.json", 0, { kind: "other.org/nic", devices: [device("all", "NIC=all")] })

  it("each after the common edits of its specification, which count once; repeated names count once", () => {
    const names = ["vendor.com/gpu=gpu1", "other.org/nic=all", "vendor.com/gpu=gpu0", "vendor.com/gpu=gpu1"]
    assert.deepStrictEqual(select(names, two, nics), ["COMMON=1", "GPU=1", "NIC=all", "GPU=0"])
    assert.deepStrictEqual(select([], two), [])
  })

  it("a later directory counts more; two of one directory with the same device are a conflict", () => {
    const later = spec("/var/run/cdi/a.json", 1, { devices: [device("gpu0", "GPU=later")] })
    assert.deepStrictEqual(select(["vendor.com/gpu=gpu0"], later, two), ["GPU=later"])
    const twin = spec("/etc/cdi/twin.json", 0, { devices: [device("gpu0", "GPU=twin")] })
    assert.deepStrictEqual(
      select(["vendor.com/gpu=gpu0"], two, twin),
      "/etc/cdi/a.json and /etc/cdi/twin.json both have vendor.com/gpu=gpu0"
    )
    assert.deepStrictEqual(select(["vendor.com/gpu=gpu1"], two, twin), ["COMMON=1", "GPU=1"])
    assert.deepStrictEqual(select(["vendor.com/gpu=gpu0"], two, twin, later), ["GPU=later"])
  })

  it("names that are none, devices that are nowhere and edits that cannot be made are told", () => {
    assert.include(select(["gpu0"], two), '"gpu0" is not vendor/class=name')
    assert.include(select(["vendor.com/gpu=gpu7"], two), "no specification has vendor.com/gpu=gpu7")
    const rdt = spec("/etc/cdi/c.json", 0, { devices: [device("gpu0", "A=1", { intelRdt: { closID: "x" } })] })
    assert.include(select(["vendor.com/gpu=gpu0"], rdt), "not supported")
    const net = spec("/etc/cdi/c.json", 0, { devices: [device("gpu0", "A=1", { netDevices: [{ name: "x" }] })] })
    assert.include(select(["vendor.com/gpu=gpu0"], net), "not supported")
  })
})
