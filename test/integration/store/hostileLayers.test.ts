import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readdirSync, statSync } from "node:fs"
import { gzipSync, zstdCompressSync } from "node:zlib"
import { archive, entry, long, pax } from "../../linux/unpack/archive.ts"
import { netRaw, xattrsOf } from "./support.ts"
import { base, freshDirectory, host, hostIsUntouched, type Options, unpackInto } from "./unpacking.ts"

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
