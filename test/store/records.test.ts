import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Result } from "effect"
import { Locks } from "../../src/linux/Locks.ts"
import { makeStoreLock } from "../../src/store/internal/lockfile.ts"
import { withNames } from "../../src/store/internal/names.ts"
import { bigDataFile, imageLayerId, storePaths } from "../../src/store/internal/paths.ts"
import {
  changeRecord,
  containerCodec,
  imageCodec,
  layerCodec,
  newRecord,
  parseRecords,
  printRecords
} from "../../src/store/internal/records.ts"
import { chainsOf, leadingLayers } from "../../src/store/internal/snapshot.ts"
import { chainOf, unusedLayers } from "../../src/store/internal/unused.ts"

describe("records", () => {
  it("keep what other programs wrote: unknown fields, and records that are none", () => {
    const text = JSON.stringify([
      { id: "a", "diff-size": 7, "toc-digest": "t", future: { deep: [1, null] } },
      { names: ["no id"] },
      42,
      { id: "b", flags: { incomplete: true, other: "x" }, parent: "a" }
    ])
    const records = Result.getOrThrow(parseRecords(layerCodec, text))
    assert.deepStrictEqual(
      records.known.map(({ id, parent, diffSize, incomplete }) => [id, parent, diffSize, incomplete]),
      [
        ["a", undefined, 7, false],
        ["b", "a", 0, true]
      ]
    )
    const written = JSON.parse(printRecords(records))
    assert.sameDeepMembers(written, JSON.parse(text))
    const changed = changeRecord(layerCodec, records.known[0] as (typeof records.known)[0], { parent: "z" })
    assert.deepStrictEqual(changed.raw, {
      id: "a",
      "diff-size": 7,
      "toc-digest": "t",
      future: { deep: [1, null] },
      parent: "z"
    })
  })

  it("read what Go writes for nothing, and refuse what is no array", () => {
    for (const text of ["", "\n", "null", "[]"])
      assert.deepStrictEqual(Result.getOrThrow(parseRecords(imageCodec, text)).known, [])
    for (const text of ["{}", "[{]", "7"]) assert.isTrue(Result.isFailure(parseRecords(imageCodec, text)), text)
    const odd = Result.getOrThrow(
      parseRecords(imageCodec, `[{"id":"i","names":null,"big-data-sizes":{"__proto__":5,"x":-1},"layer":3}]`)
    )
    assert.deepStrictEqual(odd.known[0]?.names, [])
    assert.strictEqual(odd.known[0]?.layer, undefined)
    assert.isUndefined(({} as Record<string, unknown>)["5"])
  })
})

const layer = (id: string, parent?: string, diffId?: string) =>
  newRecord(layerCodec, {
    id,
    ...(parent === undefined ? {} : { parent }),
    ...(diffId === undefined ? {} : { "diff-digest": diffId })
  })
const image = (id: string, top: string, names: ReadonlyArray<string> = []) =>
  newRecord(imageCodec, { id, layer: top, names, kept: id })
const records = {
  layers: [layer("base"), layer("mid", "base"), layer("top", "mid"), layer("other", "base"), layer("c-layer", "other")],
  volatileLayers: [layer("v-layer", "top")],
  images: [image("i", "top")],
  containers: [newRecord(containerCodec, { id: "c", layer: "c-layer" })],
  volatileContainers: []
}
const all = new Set(records.layers.map(({ id }) => id))

describe("unused layers", () => {
  it("are those on which no image, container or layer stands, top first", () => {
    assert.deepStrictEqual(unusedLayers(records, all), [])
    const withoutImage = { ...records, images: [] }
    assert.deepStrictEqual(unusedLayers(withoutImage, all), [])
    const alone = { ...withoutImage, volatileLayers: [] }
    assert.deepStrictEqual(unusedLayers(alone, all), ["top", "mid"])
    assert.deepStrictEqual(unusedLayers({ ...alone, containers: [] }, all), ["top", "c-layer", "mid", "other", "base"])
    assert.deepStrictEqual(unusedLayers({ ...alone, containers: [] }, new Set(["top", "base"])), ["top"])
    assert.deepStrictEqual(unusedLayers({ ...records, volatileLayers: [], images: [image("j", "mid")] }, all), ["top"])
  })

  it("follow a chain once, even one that runs in a circle", () => {
    const circle = new Map([layer("a", "b"), layer("b", "a")].map((l) => [l.id, l]))
    assert.deepStrictEqual(
      chainOf(circle, "a").map(({ id }) => id),
      ["a", "b"]
    )
  })
})

describe("layers of a chain", () => {
  it("are found by content and place, whoever named them, and only complete", () => {
    const incomplete = newRecord(layerCodec, { id: "y", parent: "x", "diff-digest": "d2", flags: { incomplete: true } })
    const chains = chainsOf([layer("x", undefined, "d1"), incomplete, layer("z", "elsewhere", "d2")])
    assert.deepStrictEqual(
      leadingLayers(chains, ["d1", "d2"]).map(({ id }) => id),
      ["x"]
    )
    assert.deepStrictEqual(leadingLayers(chains, ["d2"]), [])
  })
})

describe("names of images", () => {
  it("belong to one image only, and history keeps them all", () => {
    const before = [image("a", "t", ["x", "y"]), image("b", "t", ["z"])]
    const [a, b] = withNames(before, "b", ["y", "w"])
    assert.deepStrictEqual(a?.names, ["x"])
    assert.deepStrictEqual(b?.names, ["y", "w", "z"])
    assert.strictEqual(b?.raw["kept"], "b")
    assert.deepStrictEqual(withNames([b as NonNullable<typeof b>], "b", ["z"])[0]?.raw["names-history"], [
      "z",
      "y",
      "w"
    ])
  })
})

describe("names of files", () => {
  const paths = storePaths("/g", "/r")
  it("follow containers/storage", () => {
    assert.strictEqual(bigDataFile(paths, "i", "manifest"), "/g/overlay-images/i/manifest")
    assert.strictEqual(bigDataFile(paths, "i", "sha256:ab"), "/g/overlay-images/i/=c2hhMjU2OmFi")
    assert.strictEqual(bigDataFile(paths, "i", "../x"), "/g/overlay-images/i/=Li4veA==")
    assert.strictEqual(imageLayerId(undefined, `sha256:${"a".repeat(64)}`), "a".repeat(64))
    assert.strictEqual(
      imageLayerId("p", "sha256:d"),
      "fdf333aa97949b9ff892ed42b746272b350b15d8419f6aa4b0f832182026e206"
    )
  })
})

describe("the lock file", () => {
  it.effect("is stamped with 64 bytes that differ each time; fibers queue in order", () =>
    Effect.gen(function* () {
      const stamps: Array<Uint8Array> = []
      let holders = 0
      const locks = Layer.mock(Locks, {
        acquire: () =>
          Effect.acquireRelease(
            Effect.sync(() => {
              assert.strictEqual(++holders, 1)
              return {
                readStamp: () => Effect.succeed(new Uint8Array()),
                writeStamp: (data: Uint8Array) => Effect.sync(() => void stamps.push(data))
              }
            }),
            () => Effect.sync(() => holders--)
          )
      })
      const lock = yield* Effect.provide(makeStoreLock("/x.lock"), locks)
      const order: Array<number> = []
      yield* Effect.forEach(
        [1, 2, 3],
        (n) =>
          lock.hold("write", (touch) =>
            Effect.andThen(
              touch,
              Effect.sync(() => order.push(n))
            )
          ),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(order, [1, 2, 3])
      assert.deepStrictEqual(
        stamps.map((stamp) => stamp.length),
        [64, 64, 64]
      )
      const [first, second] = stamps.map((stamp) => Buffer.from(stamp)) as [Buffer, Buffer]
      assert.strictEqual(second.readBigUInt64LE(8) - first.readBigUInt64LE(8), 1n)
      assert.strictEqual(first.readUInt32LE(16), second.readUInt32LE(16))
      assert.isFalse(first.subarray(20).equals(second.subarray(20)))
    })
  )
})
