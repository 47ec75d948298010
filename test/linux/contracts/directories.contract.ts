/** What every layer of Files does alike with directories, trees and names. */
import { assert, describe } from "@effect/vitest"
import { Effect } from "effect"
import { Files } from "../../../src/linux/Files.ts"
import { codeOf, type Environment, put, testsIn } from "./environment.ts"

export const directoriesContract = (environment: Environment<Files>): void => {
  const test = testsIn(environment)
  describe("directories", () => {
    test("mode is exact; recursive accepts what is there", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        yield* files.makeDirectory(`${dir}/a`, { mode: 0o777 })
        assert.strictEqual((yield* files.stat(`${dir}/a`)).mode, 0o777)
        assert.strictEqual(yield* codeOf(files.makeDirectory(`${dir}/a`)), "EEXIST")
        yield* files.makeDirectory(`${dir}/a`, { recursive: true, mode: 0o700 })
        assert.strictEqual((yield* files.stat(`${dir}/a`)).mode, 0o777)
        assert.strictEqual(yield* codeOf(files.makeDirectory(`${dir}/x/y`)), "ENOENT")
        yield* files.makeDirectory(`${dir}/x/y`, { recursive: true })
        yield* put(`${dir}/file`, "")
        assert.strictEqual(yield* codeOf(files.makeDirectory(`${dir}/file`, { recursive: true })), "EEXIST")
        assert.strictEqual(yield* codeOf(files.makeDirectory(`${dir}/file/x`, { recursive: true })), "ENOTDIR")
      }))
    test("names are sorted", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        for (const entry of ["b", "a", "c", "B"]) yield* put(`${dir}/${entry}`, "")
        assert.deepStrictEqual(yield* files.readDirectory(dir), ["B", "a", "b", "c"])
        assert.strictEqual(yield* codeOf(files.readDirectory(`${dir}/none`)), "ENOENT")
        assert.strictEqual(yield* codeOf(files.readDirectory(`${dir}/a`)), "ENOTDIR")
      }))
    test("entries of a directory say what they are, links without being followed", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        yield* put(`${dir}/b`, "")
        yield* files.makeDirectory(`${dir}/a`)
        yield* files.symlink("a", `${dir}/c`)
        assert.deepStrictEqual(yield* files.readDirectoryEntries(dir), [
          { name: "a", kind: "directory" },
          { name: "b", kind: "file" },
          { name: "c", kind: "symlink" }
        ])
        assert.deepStrictEqual(yield* files.readDirectoryEntries(`${dir}/a`), [])
        assert.strictEqual(yield* codeOf(files.readDirectoryEntries(`${dir}/none`)), "ENOENT")
        assert.strictEqual(yield* codeOf(files.readDirectoryEntries(`${dir}/b`)), "ENOTDIR")
      }))
    test("removeVolatile succeeds when the file is gone, and wants a file", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        yield* put(`${dir}/a`, "")
        yield* files.removeVolatile(`${dir}/a`)
        yield* files.removeVolatile(`${dir}/a`)
        yield* files.removeVolatile(`${dir}/none/a`)
        assert.deepStrictEqual(yield* files.readDirectory(dir), [])
        yield* files.makeDirectory(`${dir}/b`)
        assert.strictEqual(yield* codeOf(files.removeVolatile(`${dir}/b`)), "EISDIR")
      }))
    test("removeDirectory wants it empty, removeFile wants a file", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        yield* files.makeDirectory(`${dir}/a`)
        yield* put(`${dir}/a/b`, "")
        assert.strictEqual(yield* codeOf(files.removeDirectory(`${dir}/a`)), "ENOTEMPTY")
        assert.strictEqual(yield* codeOf(files.removeFile(`${dir}/a`)), "EISDIR")
        assert.strictEqual(yield* codeOf(files.removeDirectory(`${dir}/a/b`)), "ENOTDIR")
        yield* files.removeFile(`${dir}/a/b`)
        yield* files.removeDirectory(`${dir}/a`)
        assert.strictEqual(yield* codeOf(files.removeFile(`${dir}/a`)), "ENOENT")
        assert.strictEqual(yield* codeOf(files.removeDirectory(`${dir}/a`)), "ENOENT")
      }))
    test("sync wants an existing directory", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        yield* files.syncDirectory(dir)
        assert.strictEqual(yield* codeOf(files.syncDirectory(`${dir}/none`)), "ENOENT")
      }))
  })

  describe("trees", () => {
    test("removeTree removes links, not what they lead to, and succeeds when it is gone", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        yield* files.makeDirectory(`${dir}/keep`)
        yield* put(`${dir}/keep/a`, "1")
        yield* files.makeDirectory(`${dir}/tree/x/y/z`, { recursive: true })
        yield* put(`${dir}/tree/x/y/file`, "1")
        yield* files.symlink("../../keep", `${dir}/tree/x/link`)
        yield* files.symlink("keep", `${dir}/link`)
        yield* files.removeTree(`${dir}/tree`)
        yield* files.removeTree(`${dir}/link`)
        yield* files.removeTree(`${dir}/tree`)
        yield* files.removeTree(`${dir}/never/was`)
        yield* files.removeTree(`${dir}/keep/a/below/a/file`)
        assert.deepStrictEqual(yield* files.readDirectory(dir), ["keep"])
        assert.deepStrictEqual(yield* files.readDirectory(`${dir}/keep`), ["a"])
      }))
    test("diskUsage counts every inode once", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        yield* files.makeDirectory(`${dir}/tree/sub`, { recursive: true })
        yield* put(`${dir}/tree/a`, "x".repeat(5000))
        yield* files.link(`${dir}/tree/a`, `${dir}/tree/sub/hard`)
        yield* files.symlink("/", `${dir}/tree/link`)
        const usage = yield* files.diskUsage(`${dir}/tree`)
        assert.strictEqual(usage.inodes, 4n)
        assert.isTrue(usage.bytes >= 5000n)
        assert.strictEqual(yield* codeOf(files.diskUsage(`${dir}/none`)), "ENOENT")
      }))
  })

  describe("names", () => {
    test("rename replaces a file and refuses a directory that is not empty", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        yield* put(`${dir}/a`, "new")
        yield* put(`${dir}/b`, "old")
        yield* files.rename(`${dir}/a`, `${dir}/b`)
        assert.strictEqual(yield* files.readText(`${dir}/b`), "new")
        assert.deepStrictEqual(yield* files.readDirectory(dir), ["b"])
        assert.strictEqual(yield* codeOf(files.rename(`${dir}/a`, `${dir}/c`)), "ENOENT")
        yield* files.makeDirectory(`${dir}/full`)
        yield* put(`${dir}/full/x`, "")
        yield* files.makeDirectory(`${dir}/d`)
        assert.strictEqual(yield* codeOf(files.rename(`${dir}/d`, `${dir}/full`)), "ENOTEMPTY")
        assert.strictEqual(yield* codeOf(files.rename(`${dir}/b`, `${dir}/d`)), "EISDIR")
      }))
    test("links: hard, symbolic, their targets, real paths", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        yield* put(`${dir}/a`, "text")
        yield* files.link(`${dir}/a`, `${dir}/hard`)
        assert.strictEqual((yield* files.stat(`${dir}/hard`)).inode, (yield* files.stat(`${dir}/a`)).inode)
        yield* files.symlink("a", `${dir}/soft`)
        assert.strictEqual(yield* files.readLink(`${dir}/soft`), "a")
        assert.strictEqual(yield* codeOf(files.readLink(`${dir}/a`)), "EINVAL")
        assert.strictEqual((yield* files.lstat(`${dir}/soft`)).kind, "symlink")
        assert.strictEqual((yield* files.stat(`${dir}/soft`)).kind, "file")
        assert.strictEqual(yield* files.realPath(`${dir}/soft`), yield* files.realPath(`${dir}/a`))
        assert.strictEqual(yield* codeOf(files.symlink("x", `${dir}/soft`)), "EEXIST")
        assert.strictEqual(yield* codeOf(files.link(`${dir}/a`, `${dir}/soft`)), "EEXIST")
      }))
    test("a loop of links is told", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        yield* files.symlink("b", `${dir}/a`)
        yield* files.symlink("a", `${dir}/b`)
        assert.strictEqual(yield* codeOf(files.readFile(`${dir}/a`)), "ELOOP")
        assert.strictEqual(yield* codeOf(files.stat(`${dir}/a`)), "ELOOP")
      }))
  })
}
