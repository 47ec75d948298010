import { assert, describe, it } from "@effect/vitest"
import { isAtOrBelow, parseMountInfo } from "../../../src/linux/internal/mountInfo.ts"

const fixture = String.raw`22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
36 22 0:32 / /mnt/with\040blank\011tab\134slash\012line rw,nosuid,nodev master:2 propagate_from:1 - tmpfs tmp\043fs rw,size=1024k
37 22 0:33 /sub/dir /bound ro unbindable - overlay overlay rw,lowerdir=/a\040b:/c,upperdir=/u
38 22 0:4 net:[4026532177] /run/netns/x rw - nsfs nsfs rw
39 22 0:40 / /no-source rw - tmpfs  rw
`

describe("parseMountInfo", () => {
  const entries = parseMountInfo(fixture)
  it("reads every line", () => {
    assert.deepStrictEqual(
      entries.map((entry) => entry.id),
      [22, 36, 37, 38, 39]
    )
  })
  it("splits the optional fields from the rest", () => {
    assert.deepStrictEqual(
      entries.map((entry) => entry.propagation),
      [["shared:1"], ["master:2", "propagate_from:1"], ["unbindable"], [], []]
    )
  })
  it("resolves octal escapes", () => {
    assert.strictEqual(entries[1]?.target, "/mnt/with blank\ttab\\slash\nline")
    assert.strictEqual(entries[1]?.source, "tmp#fs")
    assert.deepStrictEqual(entries[2]?.superOptions, ["rw", "lowerdir=/a b:/c", "upperdir=/u"])
  })
  it("keeps root, type and options", () => {
    assert.deepStrictEqual(entries[2], {
      id: 37,
      parent: 22,
      root: "/sub/dir",
      target: "/bound",
      options: ["ro"],
      propagation: ["unbindable"],
      type: "overlay",
      source: "overlay",
      superOptions: ["rw", "lowerdir=/a b:/c", "upperdir=/u"]
    })
    assert.strictEqual(entries[3]?.root, "net:[4026532177]")
  })
  it("accepts an empty source", () => {
    assert.deepStrictEqual([entries[4]?.source, entries[4]?.superOptions], ["", ["rw"]])
  })
  it("leaves out what is no such line", () => {
    assert.deepStrictEqual(parseMountInfo("\nrubbish\n1 2 0:1 / /x rw no separator here\n"), [])
  })
})

describe("isAtOrBelow", () => {
  it("ends at component borders", () => {
    assert.deepStrictEqual(
      ["/a", "/a/b", "/ab", "/"].map((target) => isAtOrBelow(target, "/a")),
      [true, true, false, false]
    )
    assert.isTrue(isAtOrBelow("/anything", "/"))
  })
})
