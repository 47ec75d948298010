import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Stream } from "effect"
import { execFileSync } from "node:child_process"
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs"
import { gzipSync, zstdCompressSync } from "node:zlib"
import type { Compression } from "../../../src/linux/LayerUnpacker.ts"
import { makeUnpacker } from "../../../src/linux/unpack/pool.ts"
import { archive, entry } from "../../linux/unpack/archive.ts"
import { busyboxLayers, chunksOf, describeTree, sha256, xattrsOf } from "./support.ts"
import { freshDirectory, unpackInto } from "./unpacking.ts"

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
