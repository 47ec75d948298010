import { assert, describe, it } from "@effect/vitest"
import { annotatedDevices, annotatedShmSize, annotatedUmask } from "../../../src/oci/spec/podAnnotations.ts"
import { outcome } from "../host.ts"

const allowed = ["shm-size.crio.io", "umask.crio.io", "devices.crio.io"]
const shm = (value: string) => outcome(annotatedShmSize({ annotations: { "shm-size.crio.io": value }, allowed }))
const umask = (value: string) => outcome(annotatedUmask({ annotations: { "umask.crio.io": value }, allowed }))

describe("annotations of CRI-O with an effect", () => {
  it.each([
    ["1", 1],
    ["4096", 4096],
    ["64Mi", 64 << 20],
    ["1G", 1_000_000_000],
    ["2Ti", 2 * 2 ** 40],
    ["", undefined]
  ])("shm-size %j", (text, bytes) => assert.strictEqual(shm(text), bytes))
  it.each(["0", "0Mi", "-1", "1.5Gi", "64mi", "Mi", "999999999999999Ti", "1Mi,uid=0", " 1Mi"])(
    "refuses shm-size %j",
    (text) => assert.match(String(shm(text)), /^invalid annotation shm-size\.crio\.io: .* is not a size/)
  )

  it.each([
    ["022", 0o22],
    ["0027", 0o27],
    ["7", 7],
    ["", undefined]
  ])("umask %j", (text, mask) => assert.strictEqual(umask(text), mask))
  it.each(["8", "1777", "u=rwx", "-1", "02 2"])("refuses umask %j", (text) =>
    assert.match(String(umask(text)), /^invalid annotation umask\.crio\.io: /)
  )

  it("have none where the handler does not allow them, and both names where it allows one", () => {
    const annotations = { "umask.crio.io": "0", "io.kubernetes.cri-o.ShmSize": "1Mi", "devices.crio.io": "/dev/fuse" }
    const of = (allowed: ReadonlyArray<string>) => [
      outcome(annotatedUmask({ annotations, allowed })),
      outcome(annotatedShmSize({ annotations, allowed })),
      annotatedDevices({ annotations, allowed })
    ]
    assert.deepStrictEqual(of([]), [undefined, undefined, []])
    assert.deepStrictEqual(of(["umask.crio"]), [undefined, undefined, []])
    assert.deepStrictEqual(of(allowed), [0, 1 << 20, ["/dev/fuse"]])
    assert.deepStrictEqual(of(["io.kubernetes.cri-o.umask"]), [0, undefined, []])
    assert.deepStrictEqual(of(["io.kubernetes.cri-o.*"]), [0, 1 << 20, ["/dev/fuse"]])
  })
})
