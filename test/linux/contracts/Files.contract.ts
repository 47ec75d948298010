/** What every layer of Files does alike. */
import { assert, describe } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { isTemporaryName, writeFileAtomic } from "../../../src/linux/atomicWrite.ts"
import { Files } from "../../../src/linux/Files.ts"
import { directoriesContract } from "./directories.contract.ts"
import { codeOf, type Environment, put, testsIn } from "./environment.ts"
import { filesBelowRootContract } from "./filesBelowRoot.contract.ts"

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

    filesBelowRootContract(environment)

    directoriesContract(environment)

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
