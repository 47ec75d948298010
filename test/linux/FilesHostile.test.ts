/** What only the real kernel shows: special files, magic links, strange names, deep trees, masks. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import { Files } from "../../src/linux/Files.ts"
import { codeOf, put } from "./contracts/environment.ts"
import { scratchRoot } from "./real.ts"

const root = scratchRoot()
let count = 0
const test = (name: string, body: (dir: string) => Effect.Effect<void, unknown, Files>) =>
  it.live(name, () => {
    const dir = `${root}/${count++}`
    fs.mkdirSync(dir)
    return body(dir).pipe(Effect.provide(Files.layer))
  })

describe("special files", () => {
  test("FIFOs and devices are refused at once, whoever asks", (dir) =>
    Effect.gen(function* () {
      const files = yield* Files
      execFileSync("mkfifo", [`${dir}/fifo`])
      execFileSync("mknod", [`${dir}/null`, "c", "1", "3"])
      for (const name of ["fifo", "null"]) {
        assert.strictEqual(yield* codeOf(files.readFile(`${dir}/${name}`)), "EINVAL")
        assert.strictEqual(yield* codeOf(files.readInRoot(dir, name)), "EINVAL")
        assert.strictEqual(yield* codeOf(Effect.scoped(files.open(`${dir}/${name}`, "read"))), "EINVAL")
        assert.strictEqual(yield* codeOf(Effect.scoped(files.open(`${dir}/${name}`, "append"))), "EINVAL")
      }
      assert.strictEqual((yield* files.lstat(`${dir}/fifo`)).kind, "fifo")
      const device = yield* files.lstat(`${dir}/null`)
      assert.deepStrictEqual([device.kind, device.specialDevice], ["character", 0x103])
    }))
  test("a FIFO is written only while somebody reads", (dir) =>
    Effect.gen(function* () {
      const files = yield* Files
      execFileSync("mkfifo", [`${dir}/fifo`])
      assert.strictEqual(yield* codeOf(files.writeExisting(`${dir}/fifo`, "x")), "ENXIO")
      const reader = spawn("/bin/cat", [`${dir}/fifo`])
      const read = new Promise<string>((resolve) => reader.stdout.once("data", (data) => resolve(String(data))))
      yield* files
        .writeExisting(`${dir}/fifo`, "1 24 80\n")
        .pipe(Effect.retry({ while: (error) => error.code === "ENXIO" }), Effect.timeout("5 seconds"))
      assert.strictEqual(yield* Effect.promise(() => read), "1 24 80\n")
    }))
  test("who waits for a FIFO's reader goes on when it is attended", (dir) =>
    Effect.gen(function* () {
      const files = yield* Files
      execFileSync("mkfifo", [`${dir}/fifo`])
      const writer = spawn("/bin/sh", ["-c", `echo waiting; echo 0 > ${dir}/fifo; echo gone on`])
      const said: Array<string> = []
      writer.stdout.on("data", (data) => said.push(String(data)))
      const ended = new Promise((resolve) => writer.once("close", resolve))
      yield* Effect.promise(() => new Promise((resolve) => writer.stdout.once("data", resolve)))
      yield* Effect.scoped(
        Effect.andThen(
          files.attendFifo(`${dir}/fifo`),
          Effect.promise(() => ended)
        )
      ).pipe(Effect.timeout("5 seconds"))
      assert.strictEqual(said.join(""), "waiting\ngone on\n")
    }))
  test("what the kernel makes up is read whole", () =>
    Effect.gen(function* () {
      const files = yield* Files
      assert.match(yield* files.readText("/proc/self/status"), /^Name:.*\n[^]*voluntary_ctxt_switches/)
      assert.strictEqual((yield* files.readText("/proc/self/mountinfo")).split("\n").at(-1), "")
      assert.match(yield* files.readText("/sys/kernel/mm/transparent_hugepage/enabled"), /never/)
    }))
})

describe("below a root", () => {
  test("magic links are refused", (dir) =>
    Effect.gen(function* () {
      const files = yield* Files
      fs.mkdirSync(`${dir}/proc`)
      execFileSync("mount", ["--bind", "/proc", `${dir}/proc`])
      try {
        assert.strictEqual(yield* codeOf(files.readInRoot(dir, `/proc/${process.pid}/root/etc/passwd`)), "ELOOP")
      } finally {
        execFileSync("umount", [`${dir}/proc`])
      }
    }))
  test("a loop of links ends", (dir) =>
    Effect.gen(function* () {
      const files = yield* Files
      fs.symlinkSync("b", `${dir}/a`)
      fs.symlinkSync("a", `${dir}/b`)
      fs.symlinkSync("c/c", `${dir}/c`)
      const owner = { mode: 0o755, uid: 0, gid: 0 }
      assert.strictEqual(yield* codeOf(files.makeDirectoryInRoot(dir, "a/x", owner)), "ELOOP")
      assert.strictEqual(yield* codeOf(files.makeDirectoryInRoot(dir, "c", owner)), "ELOOP")
    }))
})

describe("permissions", () => {
  test("are exact whatever the umask", (dir) =>
    Effect.gen(function* () {
      const files = yield* Files
      const before = process.umask(0o077)
      try {
        yield* files.makeDirectory(`${dir}/a/b`, { recursive: true, mode: 0o2775 })
        yield* Effect.scoped(files.open(`${dir}/a/f`, "append", 0o666))
      } finally {
        process.umask(before)
      }
      assert.strictEqual((yield* files.stat(`${dir}/a/b`)).mode, 0o2775)
      assert.strictEqual((yield* files.stat(`${dir}/a/f`)).mode, 0o666)
    }))
})

describe("trees", () => {
  test("names that are not UTF-8, devices, sockets and read-only directories go", (dir) =>
    Effect.gen(function* () {
      const files = yield* Files
      fs.mkdirSync(`${dir}/tree/sub`, { recursive: true })
      fs.writeFileSync(Buffer.concat([Buffer.from(`${dir}/tree/`), Buffer.from([0xff, 0xfe])]), "")
      fs.mkdirSync(Buffer.concat([Buffer.from(`${dir}/tree/`), Buffer.from([0xfd])]))
      execFileSync("mknod", [`${dir}/tree/sub/wh`, "c", "0", "0"])
      fs.chmodSync(`${dir}/tree/sub`, 0)
      assert.strictEqual((yield* files.diskUsage(`${dir}/tree`)).inodes, 5n)
      yield* files.removeTree(`${dir}/tree`)
      assert.deepStrictEqual(fs.readdirSync(dir), [])
    }))
  test("a tree deeper than any path can say is measured and removed", (dir) =>
    Effect.gen(function* () {
      const files = yield* Files
      const depth = 1500
      const down = `for (let level = 0; level < ${depth}; level++) { fs.mkdirSync("dddddd"); process.chdir("dddddd") }`
      fs.mkdirSync(`${dir}/tree`)
      execFileSync(process.execPath, ["-e", `${down} fs.writeFileSync("file", "")`], { cwd: `${dir}/tree` })
      const limit = (soft: string) => execFileSync("prlimit", ["--pid", String(process.pid), `--nofile=${soft}:`])
      const before = /^NOFILE.* (\d+) +\d+ /m.exec(
        execFileSync("prlimit", ["--pid", String(process.pid), "--nofile"], { encoding: "utf8" })
      )
      // Fewer descriptors than the tree has levels.
      limit(String(fs.readdirSync("/proc/self/fd").length + 200))
      try {
        assert.strictEqual((yield* files.diskUsage(`${dir}/tree`)).inodes, BigInt(depth + 2))
        yield* files.removeTree(`${dir}/tree`)
      } finally {
        limit(before?.[1] ?? "1024")
      }
      assert.deepStrictEqual(fs.readdirSync(dir), [])
    }))
  test("interruption stops a removal between two steps", (dir) =>
    Effect.gen(function* () {
      const files = yield* Files
      fs.mkdirSync(`${dir}/tree`)
      for (let index = 0; index < 3000; index++) fs.writeFileSync(`${dir}/tree/${index}`, "")
      const removing = yield* Effect.forkChild(files.removeTree(`${dir}/tree`), { startImmediately: true })
      yield* Effect.sleep("5 millis")
      yield* Fiber.interrupt(removing)
      const left = fs.readdirSync(`${dir}/tree`).length
      yield* Effect.sleep("20 millis")
      assert.strictEqual(fs.readdirSync(`${dir}/tree`).length, left)
      assert.isAbove(left, 0)
    }))
  test("no descriptor is left open", (dir) =>
    Effect.gen(function* () {
      const files = yield* Files
      const open = () => fs.readdirSync("/proc/self/fd").length
      yield* put(`${dir}/a`, "")
      yield* files.diskUsage(dir)
      const before = open()
      yield* codeOf(files.readInRoot(dir, "a"))
      yield* codeOf(files.readInRoot(dir, "none"))
      yield* codeOf(files.readFile(dir))
      yield* codeOf(files.makeDirectoryInRoot(dir, "a/b", { mode: 0, uid: 0, gid: 0 }))
      yield* codeOf(Effect.scoped(files.open(`${dir}/a`, "create")))
      yield* codeOf(files.writeExisting("/proc/sys/kernel/random/boot_id", "x"))
      yield* files.removeTree(dir)
      assert.strictEqual(open(), before)
    }))
})
