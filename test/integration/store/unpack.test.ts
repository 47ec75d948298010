import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Stream } from "effect"
import { execFileSync } from "node:child_process"
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync
} from "node:fs"
import { gzipSync, zstdCompressSync } from "node:zlib"
import type { Compression } from "../../../src/linux/LayerUnpacker.ts"
import { makeUnpacker, type UnpackerOptions } from "../../../src/linux/unpack/pool.ts"
import { archive, entry, long, pax } from "../../linux/unpack/archive.ts"
import { busyboxLayers, chunksOf, describeTree, netRaw, sha256, xattrsOf } from "./support.ts"

const base = mkdtempSync("/tmp/cricket-unpack-")
const host = `${base}/host`
let hostBefore = ""
beforeAll(() => {
  mkdirSync(host, { mode: 0o755 })
  mkdirSync(`${host}/dir`)
  writeFileSync(`${host}/secret`, "secret")
  writeFileSync(`${host}/dir/file`, "file")
  hostBefore = describeTree(host)
})
afterAll(() => rmSync(base, { recursive: true, force: true }))

let count = 0
/** A layer's directory, as deep below the base as an archive's "../" must climb. */
const freshDirectory = () => {
  const directory = `${base}/layer-${++count}/diff`
  mkdirSync(directory, { recursive: true })
  return directory
}

interface Options extends UnpackerOptions {
  readonly compression?: Compression
  readonly size?: number
}

const unpackInto = Effect.fnUntraced(function* (directory: string, blob: Buffer, options: Options = {}) {
  const { unpack } = yield* makeUnpacker(options)
  return yield* unpack({
    blob: chunksOf(blob, 10_000),
    compression: options.compression ?? "none",
    directory,
    tarSplitPath: `${directory}/../ts.gz`,
    blobSize: options.size ?? blob.length
  })
}, Effect.scoped)

const hostIsUntouched = () => assert.strictEqual(describeTree(host), hostBefore)

describe("hostile layers", () => {
  const up = "../../host"
  const cases: ReadonlyArray<readonly [name: string, tar: Buffer]> = [
    [
      "names that climb",
      archive(entry({ name: `${up}/evil`, body: "x" }), entry({ name: `a/../../${up}/evil2`, body: "x" }))
    ],
    [
      "absolute names",
      archive(entry({ name: `${host}/evil`, body: "x" }), entry({ name: `${host}/secret`, body: "x" }))
    ],
    [
      "a symlink to /, then a file through it",
      archive(entry({ name: "l", type: "2", link: "/" }), entry({ name: `l${host}/evil`, body: "x" }))
    ],
    [
      "a symlink to the host, then a file through it",
      archive(entry({ name: "l", type: "2", link: host }), entry({ name: "l/evil", body: "x" }))
    ],
    [
      "a relative symlink out, then a file through it",
      archive(entry({ name: "l", type: "2", link: up }), entry({ name: "l/evil", body: "x" }))
    ],
    [
      "a chain of symlinks, then a hard link",
      archive(
        entry({ name: "a", type: "2", link: "b" }),
        entry({ name: "b", type: "2", link: "../.." }),
        entry({ name: "h", type: "1", link: "a/host/secret" }),
        entry({ name: "h", body: "x" })
      )
    ],
    [
      "a hard link out, by climbing",
      archive(entry({ name: "h", type: "1", link: `${up}/secret` }), entry({ name: "h", body: "x", mode: 0o777 }))
    ],
    ["a hard link out, absolute", archive(entry({ name: "h", type: "1", link: `${host}/secret`, mode: 0o777 }))],
    [
      "a directory that becomes a symlink",
      archive(
        entry({ name: "d", type: "5" }),
        entry({ name: "d/x", body: "1" }),
        entry({ name: "d", type: "2", link: host }),
        entry({ name: "d/evil", body: "x" }),
        entry({ name: "d/secret", body: "x" })
      )
    ],
    [
      "a file over a symlink",
      archive(
        entry({ name: "s", type: "2", link: `${host}/secret` }),
        entry({ name: "s", body: "x", mode: 0o777, uid: 7 })
      )
    ],
    [
      "a directory over a symlink",
      archive(
        entry({ name: "s", type: "2", link: host }),
        entry({ name: "s/", type: "5", mode: 0o777, uid: 7, mtime: 1 })
      )
    ],
    [
      "a hard link to a symlink, then its attributes",
      archive(
        entry({ name: "s", type: "2", link: `${host}/secret` }),
        entry({ name: "h", type: "1", link: "s", mode: 0o777, uid: 7, mtime: 1 })
      )
    ],
    [
      "a magic link",
      archive(entry({ name: "p", type: "2", link: "/proc/self/root" }), entry({ name: `p${host}/evil`, body: "x" }))
    ],
    [
      "a whiteout through a symlink",
      archive(
        entry({ name: "s", type: "2", link: host }),
        entry({ name: "s/.wh.secret" }),
        entry({ name: "s/dir/.wh..wh..opq" })
      )
    ],
    [
      "a removal through a symlink",
      archive(entry({ name: "s", type: "2", link: host }), entry({ name: "s/dir", body: "x" }))
    ],
    [
      "long names that climb",
      archive(long("L", `${"../".repeat(300)}${host.slice(1)}/evil`), entry({ name: "x", body: "x" }))
    ],
    [
      "xattrs through a symlink",
      archive(
        entry({ name: "s", type: "2", link: host }),
        pax({ "SCHILY.xattr.user.evil": "1" }),
        entry({ name: "s", type: "1", link: "s" })
      )
    ]
  ]
  for (const [name, tar] of cases) {
    it.live(`${name}: stay inside`, () =>
      Effect.gen(function* () {
        const directory = freshDirectory()
        yield* Effect.exit(unpackInto(directory, tar))
        hostIsUntouched()
        assert.deepStrictEqual(
          readdirSync(base).filter((entry) => !/^(host|layer-\d+)$/.test(entry)),
          []
        )
      })
    )
  }

  const refused: ReadonlyArray<readonly [name: string, tar: Buffer, reason: RegExp, options?: Options]> = [
    ["a whiteout of nothing", archive(entry({ name: "a/.wh." })), /whiteout of nothing/],
    ["a whiteout of its own directory", archive(entry({ name: "a/.wh.." })), /whiteout of nothing/],
    ["a whiteout of the parent", archive(entry({ name: "a/.wh..." })), /whiteout of nothing/],
    ["a file in place of the root", archive(entry({ name: "..", body: "x" })), /root directory/],
    ["an owner out of range", archive(pax({ uid: "4294967296" }), entry({ name: "a" })), /out of range/],
    ["a hard link to nothing", archive(entry({ name: "a", type: "1", link: "b" })), /ENOENT/],
    ["a path of 5000 bytes", archive(long("L", "a".repeat(5000)), entry({ name: "x" })), /path of 5000 bytes/],
    ["a path of 2000 levels", archive(long("L", "a/".repeat(2000)), entry({ name: "x" })), /levels/],
    [
      "more entries than allowed",
      archive(...Array.from({ length: 51 }, (_, i) => entry({ name: `f${i}` }))),
      /more than 50 entries/,
      { limits: { entries: 50 } }
    ],
    [
      "a gzip bomb",
      gzipSync(Buffer.alloc(40 << 20)),
      /more than 250 times/,
      { compression: "gzip", limits: { ratioFloorBytes: 16 << 20 } }
    ],
    [
      "a zstd bomb",
      zstdCompressSync(Buffer.alloc(40 << 20)),
      /more than 250 times/,
      { compression: "zstd", limits: { ratioFloorBytes: 16 << 20 } }
    ],
    [
      "a layer that is too large",
      gzipSync(Buffer.alloc(2 << 20)),
      /larger than 1048576/,
      { compression: "gzip", limits: { inflatedBytes: 1 << 20 } }
    ]
  ]
  for (const [name, blob, reason, options] of refused) {
    it.live(`${name}: refused, with the entry named`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(unpackInto(freshDirectory(), blob, options))
        assert.match(error.message, reason)
        hostIsUntouched()
      })
    )
  }

  it.live("a bomb costs neither memory nor time", () =>
    Effect.gen(function* () {
      // A file of zeros in members, one after another: a megabyte that would be a gigabyte.
      const member = gzipSync(Buffer.alloc(16 << 20))
      const header = gzipSync(entry({ name: "zeros", size: 2 ** 30 }))
      const bomb = Buffer.concat([header, ...Array.from({ length: 64 }, () => member)])
      const limits = { ratioFloorBytes: 64 << 20, ratio: 100 }
      const before = process.memoryUsage().rss
      const started = performance.now()
      const error = yield* Effect.flip(unpackInto(freshDirectory(), bomb, { compression: "gzip", limits }))
      assert.match(error.message, /inflates to more/)
      assert.isBelow(performance.now() - started, 15_000)
      assert.isBelow(process.memoryUsage().rss - before, 256 << 20)
    })
  )

  it.live("overlay's own attributes are not taken from an archive; other attributes are, byte for byte", () =>
    Effect.gen(function* () {
      const directory = freshDirectory()
      yield* unpackInto(
        directory,
        archive(
          pax({
            "SCHILY.xattr.trusted.overlay.redirect": "/x",
            "SCHILY.xattr.trusted.overlay.opaque": "y",
            "SCHILY.xattr.user.overlay.opaque": "y",
            "SCHILY.xattr.security.selinux": "l",
            "SCHILY.xattr.security.capability": netRaw,
            "SCHILY.xattr.trusted.note": "n"
          }),
          entry({ name: "f", body: "x", uid: 5, mode: 0o6755 })
        )
      )
      assert.deepStrictEqual(xattrsOf(`${directory}/f`), [
        `security.capability=${netRaw.toString("hex")}`,
        "trusted.note=6e"
      ])
      assert.strictEqual(statSync(`${directory}/f`).mode & 0o7777, 0o6755)
    })
  )
})

describe("layers", () => {
  it.live("whiteouts take overlay's form, later entries replace earlier ones, parents appear 0755", () =>
    Effect.gen(function* () {
      const directory = freshDirectory()
      const layer = yield* unpackInto(
        directory,
        archive(
          entry({ name: "./", type: "5", mode: 0o700, uid: 9, gid: 8 }),
          entry({ name: "x/y/z", body: "1" }),
          entry({ name: "x/.wh.gone", uid: 3, gid: 4 }),
          entry({ name: "x/.wh..wh.plnk" }),
          entry({ name: "x/gone/.wh.deeper" }),
          entry({ name: "o/.wh..wh..opq" }),
          entry({ name: "t/inner/f", body: "x" }),
          entry({ name: "t", body: "file now" }),
          entry({ name: "w", body: "1" }),
          entry({ name: ".wh.w" }),
          entry({ name: "dev/null", type: "3", major: 1, minor: 300, mode: 0o666 }),
          entry({ name: "d", type: "5", mode: 0o2750, mtime: 5 }),
          entry({ name: "d/f", body: "", mtime: 6 })
        )
      )
      const mode = (path: string) => lstatSync(`${directory}/${path}`).mode & 0o7777
      assert.strictEqual(mode("x/y"), 0o755)
      assert.strictEqual(mode(""), 0o755)
      const gone = lstatSync(`${directory}/x/gone`)
      assert.isTrue(gone.isCharacterDevice() && gone.rdev === 0 && gone.uid === 3 && gone.gid === 4)
      assert.deepStrictEqual(readdirSync(`${directory}/x`), ["gone", "y"])
      assert.deepStrictEqual(xattrsOf(`${directory}/o`), ["trusted.overlay.opaque=79"])
      assert.strictEqual(readFileSync(`${directory}/t`, "utf8"), "file now")
      assert.strictEqual(readFileSync(`${directory}/w`, "utf8"), "1")
      assert.strictEqual(
        execFileSync("stat", ["-c", "%t:%T", `${directory}/dev/null`], { encoding: "utf8" }).trim(),
        "1:12c"
      )
      assert.strictEqual(mode("d"), 0o2750)
      assert.strictEqual(lstatSync(`${directory}/d`).mtimeMs, 5000)
      assert.deepStrictEqual(
        [layer.uids, layer.gids],
        [
          [0, 3, 9],
          [0, 4, 8]
        ]
      )
    })
  )

  it.live("are what GNU tar makes of the same archive, sparse files included", () =>
    Effect.gen(function* () {
      const [busybox] = busyboxLayers() as [Buffer, Buffer]
      const ours = freshDirectory()
      const theirs = freshDirectory()
      const layer = yield* unpackInto(ours, gzipSync(busybox), { compression: "gzip" })
      assert.strictEqual(layer.diffId, sha256(busybox))
      assert.strictEqual(layer.diffSize, busybox.length)
      execFileSync("tar", ["-C", theirs, "-xpf", "-", "--xattrs", "--xattrs-include=*", "--numeric-owner"], {
        input: busybox
      })
      const withoutRoot = (directory: string) =>
        describeTree(directory)
          .split("\n")
          .filter((line) => !line.startsWith("|d|"))
      assert.deepStrictEqual(withoutRoot(ours), withoutRoot(theirs))
      assert.strictEqual(readlinkSync(`${ours}/etc/link`), "/etc/passwd")

      const source = freshDirectory()
      execFileSync(
        "sh",
        [
          "-c",
          "truncate -s 9M s; for i in 1 3 5 7; do printf data$i | dd of=s bs=1 seek=${i}000000 conv=notrunc status=none; done"
        ],
        { cwd: source }
      )
      for (const options of [
        ["--format=gnu"],
        ["--format=posix", "--sparse-version=0.0"],
        ["--format=posix", "--sparse-version=0.1"],
        ["--format=posix", "--sparse-version=1.0"]
      ]) {
        const directory = freshDirectory()
        const tar = execFileSync("tar", ["-C", source, "-S", ...options, "-cf", "-", "s"], { maxBuffer: 2 ** 26 })
        yield* unpackInto(directory, tar)
        assert.isTrue(readFileSync(`${directory}/s`).equals(readFileSync(`${source}/s`)), options.join(" "))
        assert.isBelow(statSync(`${directory}/s`).blocks * 512, 1 << 20)
      }
    })
  )

  const tar = archive(entry({ name: "f", body: Buffer.alloc(300_000, "abc") }))
  const gz = gzipSync(tar)
  const zst = zstdCompressSync(tar)
  const skippable = Buffer.concat([Buffer.from([0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0]), Buffer.from("skip")])
  const half = Math.floor(tar.length / 2)
  const good: ReadonlyArray<readonly [string, Buffer, Compression]> = [
    ["plain", tar, "none"],
    ["gzip", gz, "gzip"],
    ["gzip in two members", Buffer.concat([gzipSync(tar.subarray(0, half)), gzipSync(tar.subarray(half))]), "gzip"],
    ["zstd", zst, "zstd"],
    [
      "zstd in frames, with a skippable one",
      Buffer.concat([
        skippable,
        zstdCompressSync(tar.subarray(0, half)),
        skippable,
        zstdCompressSync(tar.subarray(half)),
        skippable
      ]),
      "zstd"
    ]
  ]
  for (const [name, blob, compression] of good) {
    it.live(`${name}: both digests`, () =>
      Effect.gen(function* () {
        const layer = yield* unpackInto(freshDirectory(), blob, { compression })
        assert.deepStrictEqual(
          [layer.blobDigest, layer.diffId, layer.blobSize],
          [sha256(blob), sha256(tar), blob.length]
        )
      })
    )
  }

  const flipped = Buffer.from(gz)
  flipped[flipped.length - 6] = (flipped.at(-6) as number) ^ 1
  const bad: ReadonlyArray<readonly [string, Buffer, Compression, RegExp, number?]> = [
    ["plain bytes called gzip", tar, "gzip", /gzip data is damaged/],
    ["plain bytes called zstd", tar, "zstd", /zstd data is damaged/],
    ["gzip called plain", gz, "none", /tar header|cut off/],
    ["gzip with a flipped bit", flipped, "gzip", /gzip data is damaged/],
    ["gzip cut off", gz.subarray(0, -10), "gzip", /gzip data is damaged/],
    ["zstd cut off", zst.subarray(0, -10), "zstd", /zstd data is damaged/],
    ["gzip with bytes after it", Buffer.concat([gz, Buffer.from("more")]), "gzip", /gzip data|bytes follow/],
    ["gzip with zeros after it", Buffer.concat([gz, Buffer.alloc(512)]), "gzip", /bytes follow/],
    ["zstd with bytes after it", Buffer.concat([zst, Buffer.from("more")]), "zstd", /zstd data is damaged/],
    ["a blob longer than announced", gz, "gzip", /longer than the 100 bytes/, 100],
    ["a blob shorter than announced", gz, "gzip", /ended after/, gz.length + 1],
    ["an empty blob", Buffer.alloc(0), "gzip", /gzip data is damaged/]
  ]
  for (const [name, blob, compression, reason, size] of bad) {
    it.live(`${name}: a clear error`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(
          unpackInto(freshDirectory(), blob, { compression, ...(size === undefined ? {} : { size }) })
        )
        assert.strictEqual(error._tag, "UnpackError")
        assert.match(error.message, reason)
      })
    )
  }

  it.live("interruption lets go of the directory at once; the worker goes on with other layers, then ends idle", () =>
    Effect.gen(function* () {
      const { unpack } = yield* makeUnpacker({ idle: "100 millis", workers: 1 })
      const threads = () => readdirSync("/proc/self/task").length
      const before = threads()
      const request = (blob: Stream.Stream<Uint8Array>) => {
        const directory = freshDirectory()
        return {
          blob,
          compression: "none" as const,
          directory,
          tarSplitPath: `${directory}/../ts.gz`,
          blobSize: tar.length
        }
      }
      const stalled = request(Stream.concat(chunksOf(tar.subarray(0, 270_000)), Stream.never))
      const fiber = yield* Effect.forkChild(unpack(stalled), { startImmediately: true })
      while (!existsSync(`${stalled.directory}/f`)) yield* Effect.sleep(5)
      assert.isAbove(threads(), before)
      const layer = yield* unpack(request(chunksOf(tar)))
      assert.strictEqual(layer.diffId, sha256(tar))
      yield* Fiber.interrupt(fiber)
      const open = execFileSync(
        "sh",
        ["-c", `ls -l /proc/${process.pid}/fd | grep -c '${stalled.directory}' || true`],
        { encoding: "utf8" }
      )
      assert.strictEqual(open.trim(), "0")
      const layers = yield* Effect.forEach([1, 2, 3, 4], () => unpack(request(chunksOf(tar))), { concurrency: 4 })
      assert.strictEqual(layers.length, 4)
      while (threads() > before) yield* Effect.sleep(20)
      assert.isTrue(Exit.isSuccess(yield* Effect.exit(unpack(request(chunksOf(tar))))))
    }).pipe(Effect.scoped, Effect.timeout("15 seconds"))
  )
})
