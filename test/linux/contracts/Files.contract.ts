/** What every layer of Files does alike. */
import { assert, describe } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { isTemporaryName, writeFileAtomic } from "../../../src/linux/atomicWrite.ts"
import { Files } from "../../../src/linux/Files.ts"
import { codeOf, type Environment, put, testsIn } from "./environment.ts"

export const filesContract = (name: string, environment: Environment<Files>): void => {
  const test = testsIn(environment)
  describe(`Files, ${name}`, () => {
    describe("open", () => {
      test("create makes a new file with exact permissions and refuses an existing one", (dir) =>
        Effect.gen(function* () {
          const files = yield* Files
          const file = yield* files.open(`${dir}/a`, "create", 0o666)
          yield* file.write(Buffer.from("one "))
          yield* file.write(Buffer.from("two"))
          yield* file.sync
          assert.strictEqual(yield* files.readText(`${dir}/a`), "one two")
          const stat = yield* files.lstat(`${dir}/a`)
          assert.deepStrictEqual([stat.kind, stat.mode, stat.size, stat.specialDevice], ["file", 0o666, 7, 0])
          assert.strictEqual(yield* codeOf(files.open(`${dir}/a`, "create")), "EEXIST")
        }))
      test("append goes on at the end, truncate starts again, both make the file", (dir) =>
        Effect.gen(function* () {
          const files = yield* Files
          const add = (mode: "append" | "truncate", text: string) =>
            Effect.scoped(Effect.flatMap(files.open(`${dir}/a`, mode), (file) => file.write(Buffer.from(text))))
          yield* add("append", "1")
          yield* add("append", "2")
          assert.strictEqual(yield* files.readText(`${dir}/a`), "12")
          yield* add("truncate", "3")
          assert.strictEqual(yield* files.readText(`${dir}/a`), "3")
        }))
      test("write changes bytes in place; reads beyond the end are short", (dir) =>
        Effect.gen(function* () {
          const files = yield* Files
          yield* put(`${dir}/a`, "0123456789")
          const file = yield* files.open(`${dir}/a`, "write")
          yield* file.writeAt(4, Buffer.from("xy"))
          assert.strictEqual(Buffer.from(yield* file.read(3, 4)).toString(), "3xy6")
          assert.strictEqual(Buffer.from(yield* file.read(8, 100)).toString(), "89")
          assert.strictEqual((yield* file.read(100, 1)).length, 0)
        }))
      test("read and write need an existing file", (dir) =>
        Effect.gen(function* () {
          const files = yield* Files
          assert.strictEqual(yield* codeOf(files.open(`${dir}/none`, "read")), "ENOENT")
          assert.strictEqual(yield* codeOf(files.open(`${dir}/none`, "write")), "ENOENT")
          assert.strictEqual(yield* codeOf(files.open(`${dir}/none/x`, "create")), "ENOENT")
        }))
      test("never writes through a link", (dir) =>
        Effect.gen(function* () {
          const files = yield* Files
          yield* put(`${dir}/a`, "safe")
          yield* files.symlink("a", `${dir}/link`)
          yield* files.symlink("none", `${dir}/dangling`)
          for (const mode of ["write", "truncate", "append"] as const) {
            assert.strictEqual(yield* codeOf(files.open(`${dir}/link`, mode)), "ELOOP")
          }
          assert.strictEqual(yield* codeOf(files.open(`${dir}/dangling`, "create")), "EEXIST")
          assert.strictEqual(yield* files.readText(`${dir}/a`), "safe")
        }))
    })

    describe("reading", () => {
      test("follows links, and tells missing files and directories", (dir) =>
        Effect.gen(function* () {
          const files = yield* Files
          yield* put(`${dir}/a`, "text")
          yield* files.symlink("a", `${dir}/link`)
          assert.strictEqual(yield* files.readText(`${dir}/link`), "text")
          assert.deepStrictEqual([...(yield* files.readFile(`${dir}/a`))], [...Buffer.from("text")])
          assert.strictEqual(yield* codeOf(files.readFile(`${dir}/none`)), "ENOENT")
          assert.strictEqual(yield* codeOf(files.readFile(`${dir}/a/b`)), "ENOTDIR")
          assert.strictEqual(yield* codeOf(files.readFile(dir)), "EISDIR")
        }))
      test("texts of the kernel come together, and what is not there is undefined", (dir) =>
        Effect.gen(function* () {
          const files = yield* Files
          const paths = ["/proc/self/stat", "/proc/self/none", "/proc/self/stat/none", "/proc/sys/kernel/osrelease"]
          // The second time from files that are open.
          for (const keepOpen of [false, true, true]) {
            const [stat, none, below, release] = yield* files.readKernelTexts(paths, { keepOpen })
            assert.match(stat ?? "", /^\d+ \(/)
            assert.deepStrictEqual([none, below], [undefined, undefined])
            assert.match(release ?? "", /^\d+\.\d+/)
            assert.strictEqual(yield* codeOf(files.readKernelTexts([dir], { keepOpen })), "EISDIR")
          }
        }))
      test("links of the kernel lead where their targets are, as many as are asked for", (dir) =>
        Effect.gen(function* () {
          const files = yield* Files
          const all = (yield* files.readKernelLinks("/proc/self/fd", 1000)) ?? []
          assert.isTrue(all.length > 2)
          assert.isTrue(all.every((target) => target.length > 0))
          assert.strictEqual((yield* files.readKernelLinks("/proc/self/fd", 2))?.length, 2)
          assert.isUndefined(yield* files.readKernelLinks("/proc/self/none", 1))
          assert.isUndefined(yield* files.readKernelLinks(`${dir}/none`, 1))
        }))
      test("stops at the limit", (dir) =>
        Effect.gen(function* () {
          const files = yield* Files
          yield* put(`${dir}/a`, "12345")
          assert.strictEqual(yield* files.readText(`${dir}/a`, { maxBytes: 5 }), "12345")
          assert.strictEqual(yield* codeOf(files.readText(`${dir}/a`, { maxBytes: 4 })), "EFBIG")
        }))
    })

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

    test("owner and permissions", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        yield* put(`${dir}/a`, "")
        yield* files.chmod(`${dir}/a`, 0o640)
        yield* files.chown(`${dir}/a`, 7, 8)
        const stat = yield* files.stat(`${dir}/a`)
        assert.deepStrictEqual([stat.mode, stat.uid, stat.gid], [0o640, 7, 8])
        assert.strictEqual(yield* codeOf(files.chmod(`${dir}/none`, 0o600)), "ENOENT")
      }))

    test("writeExisting writes into a file that is there and makes none", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        yield* put(`${dir}/a`, "")
        yield* files.writeExisting(`${dir}/a`, "value")
        assert.strictEqual(yield* files.readText(`${dir}/a`), "value")
        assert.strictEqual(yield* codeOf(files.writeExisting(`${dir}/none`, "x")), "ENOENT")
        assert.deepStrictEqual(yield* files.readDirectory(dir), ["a"])
      }))

    test("only a FIFO is attended", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        yield* put(`${dir}/a`, "")
        yield* files.symlink(`${dir}/a`, `${dir}/b`)
        const attend = (name: string) => codeOf(Effect.scoped(files.attendFifo(`${dir}/${name}`)))
        assert.deepStrictEqual(
          [yield* attend("a"), yield* attend("b"), yield* attend("none")],
          ["EINVAL", "ELOOP", "ENOENT"]
        )
      }))

    test("statFileSystem: what is free is part of the whole", (dir) =>
      Effect.gen(function* () {
        const files = yield* Files
        const stat = yield* files.statFileSystem(dir)
        assert.isTrue(stat.totalBytes > 0n && stat.freeBytes <= stat.totalBytes && stat.freeInodes <= stat.totalInodes)
      }))

    describe("watch", () => {
      test("tells names that come and go, and ends with the directory", (dir) =>
        Effect.gen(function* () {
          const files = yield* Files
          yield* files.makeDirectory(`${dir}/watched`)
          const watching = yield* files
            .watch(`${dir}/watched`)
            .pipe(Stream.runCollect, Effect.forkChild({ startImmediately: true }))
          yield* put(`${dir}/watched/one`, "1")
          yield* put(`${dir}/other`, "")
          yield* files.rename(`${dir}/other`, `${dir}/watched/two`)
          yield* files.removeFile(`${dir}/watched/one`)
          yield* Effect.sleep("50 millis")
          yield* files.removeTree(`${dir}/watched`)
          const names = yield* Fiber.join(watching).pipe(Effect.timeout("5 seconds"))
          assert.deepStrictEqual([...new Set(names)].sort(), ["one", "two"])
        }))
      test("fails where there is no directory", (dir) =>
        Effect.gen(function* () {
          const files = yield* Files
          assert.strictEqual(yield* codeOf(Stream.runDrain(files.watch(`${dir}/none`))), "ENOENT")
        }))
    })

    describe("writeFileAtomic", () => {
      test("replaces the file with exact permissions and leaves nothing beside it", (dir) =>
        Effect.gen(function* () {
          const files = yield* Files
          yield* writeFileAtomic(`${dir}/record.json`, "one")
          yield* writeFileAtomic(`${dir}/record.json`, Buffer.from("two"), { mode: 0o644 })
          assert.strictEqual(yield* files.readText(`${dir}/record.json`), "two")
          assert.strictEqual((yield* files.stat(`${dir}/record.json`)).mode, 0o644)
          assert.deepStrictEqual(yield* files.readDirectory(dir), ["record.json"])
        }))
      test("a failure leaves what was there and no temporary file", (dir) =>
        Effect.gen(function* () {
          const files = yield* Files
          yield* files.makeDirectory(`${dir}/busy`)
          assert.strictEqual(yield* codeOf(writeFileAtomic(`${dir}/busy`, "x")), "EISDIR")
          assert.deepStrictEqual(yield* files.readDirectory(dir), ["busy"])
          assert.isFalse(isTemporaryName("record.json"))
        }))
    })
  })
}
