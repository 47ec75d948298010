import { assert, describe, it } from "@effect/vitest"
import { onTestFinished } from "vitest"
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { gunzipSync } from "node:zlib"
import { Crc64 } from "../../../src/linux/unpack/crc64.ts"
import { defaultLimits, type UnpackLimits } from "../../../src/linux/unpack/limits.ts"
import { type TarEntry, TarReader } from "../../../src/linux/unpack/TarReader.ts"
import { TarSplit } from "../../../src/linux/unpack/TarSplit.ts"
import { archive, endMark, entry, long, pax, paxRecord } from "./archive.ts"

interface Read {
  readonly entries: ReadonlyArray<TarEntry & { readonly body: string }>
  /** All bytes as told, in order. */
  readonly told: Buffer
}

const read = (tar: Buffer, chunk = tar.length, limits: Partial<UnpackLimits> = {}): Read => {
  const entries: Array<TarEntry & { body: string }> = []
  const told: Array<Buffer> = []
  const reader = new TarReader(
    {
      raw: (bytes) => told.push(bytes),
      entry: (e) => entries.push({ ...e, body: "" }),
      content: (bytes) => {
        told.push(bytes)
        const last = entries.at(-1)
        if (last !== undefined) last.body += bytes.toString("latin1")
      },
      end: () => {}
    },
    { ...defaultLimits, ...limits }
  )
  for (let at = 0; at < tar.length; at += chunk) reader.push(tar.subarray(at, at + chunk))
  reader.finish()
  return { entries, told: Buffer.concat(told) }
}

const binary = Buffer.from([0x80, 0, 0x20, 0, 0x0a, 0x3d, 0xff])
const everything = archive(
  entry({ name: "./", type: "5", mode: 0o1777 }),
  pax({
    path: "długa/nazwa",
    "SCHILY.xattr.security.capability": binary,
    mtime: "1700000000.123456789",
    uid: "3000000"
  }),
  entry({ name: "short", body: "hello" }),
  long("L", `${"d/".repeat(80)}name`),
  long("K", `${"t/".repeat(80)}target`),
  entry({ name: "cut", type: "2", link: "cut", magic: "ustar  \0" }),
  entry({ name: "lat\xe9", body: "x".repeat(512) }),
  entry({ name: "old/", type: "\0", magic: "" }),
  entry({ name: "suid", mode: 0o104755, patch: (b) => b.write("pre/fix", 345, "latin1") }),
  entry({ name: "node", type: "3", major: 1, minor: 3 }),
  entry({ name: "big-id", patch: (b) => b.writeUInt32BE(0x8000_0000, 108) && b.writeUInt32BE(4_000_000_000, 112) })
)

describe("TarReader", () => {
  it("understands ustar, PAX, GNU and old headers, in chunks of any size, and tells every byte once", () => {
    for (const chunk of [1, 7, 511, 512, 513, 4096, everything.length]) {
      const { entries, told } = read(everything, chunk)
      assert.isTrue(told.equals(everything), `chunks of ${chunk}`)
      assert.deepStrictEqual(
        entries.map((e) => [e.type, e.name, e.body.length]),
        [
          ["5", "./", 0],
          ["0", Buffer.from("długa/nazwa").toString("latin1"), 5],
          ["2", `${"d/".repeat(80)}name`, 0],
          ["0", "lat\xe9", 512],
          ["5", "old/", 0],
          ["0", "pre/fix/suid", 0],
          ["3", "node", 0],
          ["0", "big-id", 0]
        ]
      )
      const [, odd, link, , , suid, node, big] = entries
      assert.deepStrictEqual(
        odd?.xattrs.map(([name, value]) => [name, value.toString("hex")]),
        [["security.capability", binary.toString("hex")]]
      )
      assert.deepStrictEqual(odd?.modified, { seconds: 1_700_000_000, nanoseconds: 123_456_789 })
      assert.strictEqual(odd?.uid, 3_000_000)
      assert.strictEqual(link?.linkName, `${"t/".repeat(80)}target`)
      assert.strictEqual(suid?.mode, 0o4755)
      assert.deepStrictEqual([node?.deviceMajor, node?.deviceMinor], [1, 3])
      assert.strictEqual(big?.uid, 4_000_000_000)
    }
  })

  it("reads what GNU tar writes, byte for byte, in each of its formats", () => {
    const root = mkdtempSync("/tmp/cricket-tar-")
    try {
      execFileSync(
        "sh",
        [
          "-c",
          `mkdir -p ${"n".repeat(90)}/${"m".repeat(90)}; echo deep > ${"n".repeat(90)}/${"m".repeat(90)}/f; ln ${"n".repeat(90)}/${"m".repeat(90)}/f hard; ln -s ../x soft; truncate -s 3M sparse; printf data | dd of=sparse bs=1 seek=1500000 conv=notrunc status=none`
        ],
        { cwd: root }
      )
      for (const format of ["gnu", "posix", "oldgnu"]) {
        for (const sparse of format === "posix" ? ["0.0", "0.1", "1.0"] : [""]) {
          const tar = execFileSync(
            "tar",
            [
              "-C",
              root,
              `--format=${format}`,
              "-S",
              ...(sparse === "" ? [] : [`--sparse-version=${sparse}`]),
              "-cf",
              "-",
              "."
            ],
            { maxBuffer: 2 ** 28 }
          )
          const { entries, told } = read(tar, 1000)
          assert.isTrue(told.equals(tar))
          const holes = entries.find((e) => e.name === "./sparse")
          assert.strictEqual(holes?.size, 3 * 1024 * 1024, `${format} ${sparse}`)
          assert.isTrue(holes?.sparse !== undefined && holes.dataSize < 100_000)
          assert.strictEqual(entries.filter((e) => e.type === "1" || e.type === "2").length, 2)
        }
      }
    } finally {
      rmSync(root, { recursive: true })
    }
  })

  const refused: ReadonlyArray<readonly [what: string, tar: Buffer, reason: RegExp, limits?: Partial<UnpackLimits>]> = [
    ["a header with a wrong checksum", entry({ name: "a" }).fill(0x41, 0, 1), /checksum/],
    ["an archive cut in a body", entry({ name: "a", size: 600, body: "x" }), /cut off/],
    ["an archive cut in a header", archive(entry({ name: "a" })).subarray(0, 700), /cut off/],
    ["an extension without its entry", pax({ path: "x" }), /cut off/],
    ["data after a zero block", Buffer.concat([Buffer.alloc(512), entry({ name: "a" }), endMark]), /end mark/],
    ["a PAX header of 1 GiB", entry({ name: "p", type: "x", size: 2 ** 30 }), /extension header of 1073741824/],
    [
      "a PAX record longer than its header",
      archive(entry({ name: "p", type: "x", body: "99 path=x\n" }), entry({ name: "a" })),
      /longer/
    ],
    [
      "a PAX record without an end",
      archive(entry({ name: "p", type: "x", body: "9 path=xy" }), entry({ name: "a" })),
      /newline/
    ],
    [
      "a PAX length that is no number",
      archive(entry({ name: "p", type: "x", body: "0x9 path=x\n" }), entry({ name: "a" })),
      /length/
    ],
    ["a negative size", archive(pax({ size: "-1" }), entry({ name: "a" })), /size/],
    ["a size in base 256 below zero", archive(entry({ name: "a", patch: (b) => b.fill(0xff, 124, 136) })), /size/],
    ["a size beyond all numbers", archive(pax({ size: "99999999999999999999" }), entry({ name: "a" })), /size/],
    ["an unknown type", archive(entry({ name: "a", type: "V" })), /not supported/],
    [
      "more entries than allowed",
      archive(...Array.from({ length: 11 }, () => entry({ name: "a" }))),
      /more than 10/,
      { entries: 10 }
    ],
    [
      "endless bytes after the end mark",
      Buffer.concat([endMark, Buffer.alloc(2000)]),
      /after the end mark/,
      { trailingBytes: 1000 }
    ],
    [
      "an unknown sparse format",
      archive(pax({ "GNU.sparse.major": "2", "GNU.sparse.minor": "0" }), entry({ name: "a" })),
      /sparse/
    ],
    [
      "overlapping sparse fragments",
      archive(pax({ "GNU.sparse.map": "0,4,2,4", "GNU.sparse.size": "100" }), entry({ name: "a", body: "12345678" })),
      /overlap/
    ],
    [
      "a sparse map past the end",
      archive(pax({ "GNU.sparse.map": "96,8", "GNU.sparse.size": "100" }), entry({ name: "a", body: "12345678" })),
      /up to byte 104/
    ],
    [
      "a sparse map that lies about the data",
      archive(pax({ "GNU.sparse.map": "0,9", "GNU.sparse.size": "100" }), entry({ name: "a", body: "12345678" })),
      /9 bytes mapped, 8/
    ],
    [
      "a sparse map with a huge count",
      archive(
        pax({ "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "1" }),
        entry({ name: "a", body: Buffer.from("99999999999\n".padEnd(512, "\0")) })
      ),
      /too many/
    ],
    [
      "a sparse map that never ends",
      archive(
        pax({ "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "1" }),
        entry({ name: "a", body: Buffer.alloc(512, "1") })
      ),
      /no count/
    ]
  ]
  for (const [what, tar, reason, limits] of refused) {
    it(`refuses ${what}`, () => {
      assert.throws(() => read(tar, 333, limits), reason)
    })
  }

  it("accepts an archive without end marks and keeps what follows them", () => {
    const tar = entry({ name: "a", body: "1" })
    assert.strictEqual(read(tar).entries.length, 1)
    const trailing = Buffer.concat([tar, endMark, Buffer.alloc(9000, 7)])
    assert.isTrue(read(trailing, 100).told.equals(trailing))
    assert.strictEqual(read(Buffer.alloc(0)).entries.length, 0)
  })

  it("takes repeated keys of sparse 0.0 in their order", () => {
    const body = Buffer.concat(
      (
        [
          ["GNU.sparse.size", "100"],
          ["GNU.sparse.offset", "8"],
          ["GNU.sparse.numbytes", "2"],
          ["GNU.sparse.offset", "50"],
          ["GNU.sparse.numbytes", "1"]
        ] as const
      ).map(([key, value]) => paxRecord(key, value))
    )
    const { entries } = read(archive(entry({ name: "p", type: "x", body }), entry({ name: "a", body: "xyz" })))
    assert.deepStrictEqual(entries[0]?.sparse, [
      { offset: 8, length: 2 },
      { offset: 50, length: 1 }
    ])
  })
})

describe("TarSplit", () => {
  it("gives the archive back from its lines and the files' contents", () => {
    const directory = mkdtempSync("/tmp/cricket-split-")
    onTestFinished(() => rmSync(directory, { recursive: true }))
    const path = `${directory}/ts.gz`
    const split = new TarSplit(path)
    const bodies = new Map<string, Array<Buffer>>()
    let current = ""
    const reader = new TarReader(
      {
        raw: (bytes) => split.raw(bytes),
        entry: (e) => {
          current = e.name
          bodies.set(current, [])
          split.begin(e)
        },
        content: (bytes) => {
          bodies.get(current)?.push(bytes)
          split.content(bytes)
        },
        end: () => split.end()
      },
      defaultLimits
    )
    reader.push(everything)
    split.finish()
    const lines = gunzipSync(readFileSync(path))
      .toString("utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line))
    assert.deepStrictEqual(
      lines.map((line) => line.position),
      lines.map((_, index) => index)
    )
    const whole = lines.map((line) => {
      if (line.type === 2) return Buffer.from(line.payload, "base64")
      const name =
        line.name_raw === undefined
          ? Buffer.from(line.name).toString("latin1")
          : Buffer.from(line.name_raw, "base64").toString("latin1")
      const body = Buffer.concat(bodies.get(name) ?? [])
      assert.strictEqual(line.size, body.length)
      assert.strictEqual(line.payload, new Crc64().update(body).digest().toString("base64"))
      return body
    })
    assert.isTrue(Buffer.concat(whole).equals(everything))
    assert.isTrue(lines.some((line) => line.name_raw !== undefined))
  })

  it("computes CRC-64/GO-ISO whatever the alignment", () => {
    assert.strictEqual(new Crc64().update(Buffer.from("123456789")).digest().toString("hex"), "b90956c775a41001")
    const data = Buffer.from(new Uint8Array(4000).map((_, i) => (i * 31) & 255).buffer)
    const expected = new Crc64().update(data).digest().toString("hex")
    for (const cut of [1, 3, 8, 100, 2001]) {
      const pieces = new Crc64().update(data.subarray(0, cut)).update(data.subarray(cut))
      assert.strictEqual(pieces.digest().toString("hex"), expected)
    }
  })
})
