/** What every layer of Files does alike in a root that holds hostile links. */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import { Files } from "../../../src/linux/Files.ts"
import { codeOf, type Environment, put, testsIn } from "./environment.ts"

export const filesBelowRootContract = (environment: Environment<Files>): void => {
  const test = testsIn(environment)
  describe("below a root", () => {
    test("links and .. stay inside", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        yield* put(`${dir}/secret`, "outside")
        yield* files.makeDirectory(`${dir}/root/etc`, { recursive: true })
        yield* put(`${dir}/root/etc/passwd`, "inside")
        yield* files.symlink("/etc/passwd", `${dir}/root/absolute`)
        yield* files.symlink("../../../../etc/passwd", `${dir}/root/etc/up`)
        yield* files.symlink(`${dir}/secret`, `${dir}/root/out`)
        const read = (path: string) =>
          codeOf(Effect.map(files.readInRoot(`${dir}/root`, path), (bytes) => Buffer.from(bytes).toString()))
        assert.strictEqual(yield* read("/etc/passwd"), "inside")
        assert.strictEqual(yield* read("absolute"), "inside")
        assert.strictEqual(yield* read("/etc/up"), "inside")
        assert.strictEqual(yield* read("../../secret"), "ENOENT")
        assert.strictEqual(yield* read("out"), "ENOENT")
        assert.strictEqual(yield* read("etc"), "EISDIR")
      }))
    test("the size limit holds", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        yield* put(`${dir}/a`, "12345")
        assert.strictEqual(yield* codeOf(files.readInRoot(dir, "a", { maxBytes: 4 })), "EFBIG")
      }))
    test("resolveInRoot answers real paths below the root and nothing else", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        const root = `${dir}/root`
        yield* files.makeDirectory(`${root}/a/b`, { recursive: true })
        yield* files.makeDirectory(`${dir}/outside`)
        yield* put(`${root}/a/file`, "")
        yield* files.symlink("/a/b", `${root}/absolute`)
        yield* files.symlink("../../../../a", `${root}/a/up`)
        yield* files.symlink(`${dir}/outside`, `${root}/out`)
        yield* files.symlink("loop", `${root}/loop`)
        const resolve = (path: string) => codeOf(files.resolveInRoot(root, path))
        for (const [path, found] of [
          [".", ""],
          ["/", ""],
          ["a/../..", ""],
          ["a/file", "/a/file"],
          ["/absolute", "/a/b"],
          ["a/up/up/b", "/a/b"]
        ] as const) {
          assert.strictEqual(yield* resolve(path), `${root}${found}`, path)
        }
        assert.strictEqual(yield* resolve("../outside"), "ENOENT")
        assert.strictEqual(yield* resolve("out"), "ENOENT")
        assert.strictEqual(yield* resolve("loop"), "ELOOP")
        assert.strictEqual(yield* resolve("a/file/x"), "ENOTDIR")
        assert.strictEqual(yield* codeOf(files.resolveInRoot(`${dir}/none`, ".")), "ENOENT")
      }))
    test("makeDirectoryInRoot makes parents, follows links inside and keeps what is there", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        yield* files.makeDirectory(`${dir}/root/kept`, { recursive: true, mode: 0o711 })
        yield* files.symlink("/kept", `${dir}/root/link`)
        yield* files.symlink("/../new/place", `${dir}/root/dangling`)
        const owner = { mode: 0o750, uid: 12, gid: 34 }
        yield* files.makeDirectoryInRoot(`${dir}/root`, "/link/a/b", owner)
        yield* files.makeDirectoryInRoot(`${dir}/root`, "dangling/c", owner)
        yield* files.makeDirectoryInRoot(`${dir}/root`, "/../d", owner)
        const stat = yield* files.stat(`${dir}/root/kept/a/b`)
        assert.deepStrictEqual([stat.kind, stat.mode, stat.uid, stat.gid], ["directory", 0o750, 12, 34])
        assert.strictEqual((yield* files.stat(`${dir}/root/kept/a`)).uid, 12)
        assert.deepStrictEqual((yield* files.stat(`${dir}/root/kept`)).mode, 0o711)
        assert.strictEqual((yield* files.stat(`${dir}/root/new/place/c`)).kind, "directory")
        assert.deepStrictEqual(yield* files.readDirectory(dir), ["root"])
      }))
    test("makeDirectoryInRoot refuses a file in the way", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        yield* put(`${dir}/a`, "")
        const owner = { mode: 0o755, uid: 0, gid: 0 }
        assert.strictEqual(yield* codeOf(files.makeDirectoryInRoot(dir, "a/b", owner)), "ENOTDIR")
      }))
  })
}
