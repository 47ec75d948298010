import { assert, describe, it } from "@effect/vitest"
import { knownAs } from "../../src/image/Images.ts"
import type { StoredImage } from "../../src/store/ImageStore.ts"

const manifest = `sha256:${"1".repeat(64)}`
const other = `sha256:${"2".repeat(64)}`
const id = "e".repeat(64)
const stored = (...names: ReadonlyArray<string>) => ({ id, names, manifestDigest: manifest }) as unknown as StoredImage

describe("how an image is known to whoever asked for it", () => {
  const both = stored("quay.io/a/app:1", "docker.io/library/app:1", "docker.io/library/app:2")
  it.each([
    ["the name in full", "docker.io/library/app:1", both, "docker.io/library/app:1"],
    ["a short name", "app:2", both, "docker.io/library/app:2"],
    [
      "a short name of another registry's",
      "tool",
      stored("r.example/b:1", "r.example/team/tool:latest"),
      "r.example/team/tool:latest"
    ],
    ["an id: the first tag", id, both, "quay.io/a/app:1"],
    ["a tag that it has no more", "docker.io/library/app:9", both, "quay.io/a/app:1"],
    ["a part of a repository is another one", "ool:1", stored("r.example/x:1", "r.example/tool:1"), "r.example/x:1"],
    [
      "a digest",
      `quay.io/a/app@${other}`,
      stored("quay.io/a/app:1", `quay.io/a/app@${other}`),
      `quay.io/a/app@${other}`
    ],
    [
      "tag and digest: the digest",
      `quay.io/a/app:7@${other}`,
      stored(`quay.io/a/app@${other}`),
      `quay.io/a/app@${other}`
    ],
    ["nothing that is a name", "?", stored(`quay.io/a/app@${other}`, "quay.io/a/app:1"), "quay.io/a/app:1"]
  ])("by %s", (_what, asked, image, name) => assert.strictEqual(knownAs(image, asked).name, name))

  it("its digest is of the repository that was meant", () => {
    assert.strictEqual(knownAs(both, "app:1").digest, `docker.io/library/app@${manifest}`)
    assert.strictEqual(knownAs(both, "quay.io/a/app:1").digest, `quay.io/a/app@${manifest}`)
  })
  it("without names it has neither", () =>
    assert.deepStrictEqual(knownAs(stored(), "app:1"), { name: undefined, digest: undefined }))
})
