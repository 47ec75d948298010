import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import * as fc from "fast-check"
import { createHash } from "node:crypto"
import { createDeflate, constants as zlib } from "node:zlib"
import { headerDictionary } from "../../../src/streaming/spdy/dictionary.ts"
import { makeFrameReader } from "../../../src/streaming/spdy/frameReader.ts"
import { encodeFrame, type Frame, type Sendable, splitData } from "../../../src/streaming/spdy/frames.ts"
import { makeHeaderDeflater, makeHeaderInflater } from "../../../src/streaming/spdy/headerCompression.ts"
import { encodeHeaders, parseHeaders } from "../../../src/streaming/spdy/headers.ts"
import { framesIn, headersOf } from "./support.ts"

const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex")

/** All frames up to the failure, and the failure. */
const read = (...chunks: ReadonlyArray<Uint8Array>) => {
  const reader = makeFrameReader()
  const frames: Array<Frame> = []
  for (const chunk of chunks) {
    reader.push(chunk)
    for (;;) {
      const result = reader.next()
      if (Result.isFailure(result)) return { frames, failure: result.failure.message }
      if (result.success === undefined) break
      frames.push(result.success)
    }
  }
  return { frames, failure: undefined }
}

const failureOf = (...chunks: ReadonlyArray<Uint8Array>) => read(...chunks).failure ?? "none"

const control = (type: number, flags: number, payload: Uint8Array, length = payload.length) => {
  const header = Buffer.alloc(8)
  header.writeUInt16BE(0x8003, 0)
  header.writeUInt16BE(type, 2)
  header.writeUInt32BE(((flags << 24) | length) >>> 0, 4)
  return Buffer.concat([header, payload])
}

const synStream = (block: Uint8Array, streamId = 1) => {
  const fixed = Buffer.alloc(10)
  fixed.writeUInt32BE(streamId)
  return control(1, 0, Buffer.concat([fixed, block]))
}

const deflated = (block: Uint8Array) => makeHeaderDeflater()(block)

/** A block that says what it likes of itself. */
const blockOf = (...parts: ReadonlyArray<number | string>) =>
  Buffer.concat(
    parts.map((part) => {
      if (typeof part === "string") return Buffer.from(part, "latin1")
      const bytes = Buffer.alloc(4)
      bytes.writeUInt32BE(part)
      return bytes
    })
  )

describe("header compression", () => {
  it("has the dictionary of SPDY/3, byte by byte", () => {
    assert.strictEqual(headerDictionary.length, 1423)
    assert.strictEqual(
      createHash("sha256").update(headerDictionary).digest("hex"),
      "51d27341373f923f3cd88e1eb7162aeaa3723d7585ff2399201dc06498407f02"
    )
  })

  it("reads what zlib's own stream writes, block after block", () => {
    const inflate = makeHeaderInflater(1000)
    const first = inflate(hex("78f9e3c6a7c202a62346703a2b294a4dcc851625aca9a08006000000ffff"))
    assert.deepStrictEqual(parseHeaders(first), headersOf({ streamtype: "error" }))
    const second = inflate(hex("c22e555c02cc2e00000000ffff"))
    assert.deepStrictEqual(parseHeaders(second), headersOf({ streamtype: "stdin" }))
  })

  it("reads a stream longer than the window, as Node's deflate writes it", async () => {
    const inflate = makeHeaderInflater(64 * 1024)
    const deflate = createDeflate({ dictionary: headerDictionary, level: 9 })
    for (let index = 0; index < 40; index++) {
      // Each of the texts reaches back to the one before it.
      const text = Buffer.alloc(3000, `${index % 7} and what was said of ${index} ${index * 977}; `)
      const block = await new Promise<Buffer>((resolve) => {
        deflate.write(text)
        deflate.flush(zlib.Z_SYNC_FLUSH, () => resolve(deflate.read() as Buffer))
      })
      assert.isTrue(inflate(block).equals(text), `block ${index}`)
    }
  })

  it("reads what it writes", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 9000 }), { maxLength: 12 }), (texts) => {
        const deflate = makeHeaderDeflater()
        const inflate = makeHeaderInflater(9000)
        for (const text of texts) assert.isTrue(inflate(deflate(text)).equals(text))
      })
    )
  })

  it("refuses a bomb before it is inflated", () => {
    const bomb = deflated(Buffer.alloc(16 * 1024 * 1024))
    assert.isBelow(bomb.length, 64 * 1024)
    assert.include(failureOf(synStream(bomb)), "headers of more than 65536 bytes")
  })

  it("refuses what is no zlib stream with that dictionary, flushed", () => {
    const good = deflated(blockOf(0))
    assert.include(failureOf(synStream(Buffer.alloc(3))), "without a zlib header")
    assert.include(failureOf(synStream(Buffer.concat([hex("79f9"), good.subarray(2)]))), "zlib header is wrong")
    assert.include(failureOf(synStream(Buffer.concat([hex("789c"), good.subarray(2)]))), "the dictionary of SPDY/3")
    assert.include(failureOf(synStream(Buffer.concat([hex("78f9e3c6a7c3"), good.subarray(6)]))), "the dictionary")
    assert.include(failureOf(synStream(good.subarray(0, -1))), "not flushed")
    assert.include(failureOf(synStream(Buffer.concat([good.subarray(0, 6), hex("ffffff 0000ffff")]))), "not decompress")
  })
})

describe("header blocks", () => {
  const refused = (block: Buffer) => failureOf(synStream(deflated(block)))

  it("splits values at NUL and keeps names apart", () => {
    const block = blockOf(2, 1, "a", 5, "x\0y\0z", 2, "bb", 0, "")
    assert.deepStrictEqual(
      parseHeaders(block),
      new Map([
        ["a", ["x", "y", "z"]],
        ["bb", [""]]
      ])
    )
  })

  it("reads a thousand headers and no more", () => {
    const headers = (count: number) =>
      headersOf(Object.fromEntries(Array.from({ length: count }, (_, i) => [`h${i}`, ""])))
    assert.strictEqual(read(synStream(deflated(encodeHeaders(headers(1000))))).failure, undefined)
    assert.include(refused(encodeHeaders(headers(1001))), "1001 headers in a block, at most 1000")
  })

  it("believes no count and no length", () => {
    assert.include(refused(blockOf(0xffffffff)), "4294967295 headers")
    assert.include(refused(blockOf(1, 0xffffffff, "a")), "a header of 4294967295 bytes in a block with 1 left")
    assert.include(refused(blockOf(1, 2 ** 20 + 1, "a".repeat(60_000))), "a header of 1048577 bytes")
    assert.include(refused(blockOf(2, 1, "a", 1, "b")), "ends too early")
    assert.include(refused(Buffer.alloc(3)), "ends too early")
    assert.include(refused(blockOf(0, "x")), "bytes after its last header")
  })

  it("refuses names that are empty, loud, doubled or of the hop", () => {
    assert.include(refused(blockOf(1, 0, "", 0, "")), "empty or not in lower case")
    assert.include(refused(blockOf(1, 4, "Port", 2, "80")), "empty or not in lower case")
    assert.include(refused(blockOf(2, 1, "a", 0, "", 1, "a", 0, "")), "twice")
    for (const name of ["connection", "host", "keep-alive", "proxy-connection", "transfer-encoding"]) {
      assert.include(refused(encodeHeaders(headersOf({ [name]: "x" }))), `the header ${name}`)
    }
  })
})

describe("frames", () => {
  it("are the bytes that other implementations write", () => {
    const deflate = makeHeaderDeflater()
    assert.strictEqual(
      encodeFrame({ _tag: "Ping", id: 0x01020304 }, deflate).toString("hex"),
      "800300060000000401020304"
    )
    assert.strictEqual(
      encodeFrame({ _tag: "RstStream", streamId: 3, status: 5 }, deflate).toString("hex"),
      "80030003000000080000000300000005"
    )
    assert.strictEqual(
      encodeFrame({ _tag: "GoAway", lastStreamId: 9, status: 0 }, deflate).toString("hex"),
      "80030007000000080000000900000000"
    )
    assert.strictEqual(
      encodeFrame({ _tag: "Data", streamId: 5, fin: true, data: Buffer.from("hi") }, deflate).toString("hex"),
      "00000005010000026869"
    )
    const opening = hex("80030001 01000028 00000001 00000000 0000")
    const block = hex("78f9e3c6a7c202a62346703a2b294a4dcc851625aca9a08006000000ffff")
    opening.writeUIntBE(10 + block.length, 5, 3)
    assert.deepStrictEqual(framesIn(Buffer.concat([opening, block])), [
      {
        _tag: "SynStream",
        streamId: 1,
        fin: true,
        unidirectional: false,
        headers: headersOf({ streamtype: "error" })
      }
    ])
  })

  it("hands on the data of a long frame as it comes, FIN with the last piece", () => {
    const frame = encodeFrame({ _tag: "Data", streamId: 7, fin: true, data: Buffer.from("abcdef") }, deflated)
    const { frames } = read(frame.subarray(0, 5), frame.subarray(5, 10), frame.subarray(10, 11), frame.subarray(11))
    assert.deepStrictEqual(
      frames.map((frame) => (frame._tag === "Data" ? [Buffer.from(frame.data).toString(), frame.fin] : [])),
      [
        ["ab", false],
        ["c", false],
        ["def", true]
      ]
    )
  })

  it("splits data into frames that leave others their turn", () => {
    const data = Buffer.alloc(150_000, "x")
    const sizes = [...splitData(3, data)].map((frame) => frame.length - 8)
    assert.deepStrictEqual(sizes, [65_536, 65_536, 18_928])
    assert.deepStrictEqual([...splitData(3, Buffer.alloc(0))], [])
  })

  it("ignores types that Draft 3 does not know", () => {
    assert.deepStrictEqual(read(control(10, 0, Buffer.alloc(20)), control(6, 0, hex("00000001"))).frames, [
      { _tag: "Unknown", type: 10 },
      { _tag: "Ping", id: 1 }
    ])
  })

  it("refuses settings that do not fit their frame", () => {
    const settings = (count: number, bytes: number) => {
      const payload = Buffer.alloc(4 + bytes)
      payload.writeUInt32BE(count)
      return control(4, 0, payload)
    }
    assert.deepStrictEqual(read(settings(2, 16)).frames, [{ _tag: "Settings", count: 2 }])
    assert.include(failureOf(settings(0x80000000, 8)), "promises 2147483648 settings")
    assert.include(failureOf(settings(2, 8)), "promises 2 settings")
    assert.include(failureOf(control(4, 0, Buffer.alloc(2))), "a SETTINGS frame of 2 bytes")
  })

  it("refuses frames of the wrong size, for stream 0 or with what has no meaning", () => {
    const two = (first: number, second: number) => blockOf(first, second)
    assert.include(failureOf(control(3, 0, two(0, 5))), "RST_STREAM frame for stream 0")
    assert.include(failureOf(control(3, 0, two(1, 0))), "status 0")
    assert.include(failureOf(control(3, 0, blockOf(1))), "a RST_STREAM frame of 4 bytes")
    assert.include(failureOf(control(6, 0, blockOf(0))), "PING frame with id 0")
    assert.include(failureOf(control(6, 1, blockOf(1))), "PING frame with flags")
    assert.include(failureOf(control(7, 0, blockOf(1))), "a GOAWAY frame of 4 bytes")
    assert.include(failureOf(control(7, 1, two(1, 0))), "GOAWAY frame with flags")
    assert.include(failureOf(control(9, 0, blockOf(1))), "a WINDOW_UPDATE frame of 4 bytes")
    assert.include(failureOf(control(1, 0, Buffer.alloc(9))), "a SYN_STREAM frame of 9 bytes")
    assert.include(failureOf(synStream(deflated(blockOf(0)), 0)), "SYN_STREAM frame for stream 0")
    assert.include(failureOf(hex("00000000 00000001 41")), "data frame for stream 0")
    assert.include(failureOf(hex("80020006 00000004 00000001")), "not of SPDY/3")
  })

  it("refuses a long control frame by its first eight bytes", () => {
    assert.include(failureOf(control(8, 0, Buffer.alloc(0), 65_537)), "a control frame of type 8 and 65537 bytes")
    assert.strictEqual(read(control(8, 0, Buffer.alloc(0), 65_536)).failure, undefined)
  })

  it("reads nothing after a failure", () => {
    const reader = makeFrameReader()
    reader.push(control(6, 0, blockOf(0)))
    assert.isTrue(Result.isFailure(reader.next()))
    reader.push(control(6, 0, blockOf(1)))
    assert.isTrue(Result.isFailure(reader.next()))
  })
})

const streamId = fc.integer({ min: 1, max: 0x7fffffff })
const number = fc.integer({ min: 1, max: 0x7fffffff })
const name = fc.stringMatching(/^[a-z-]{1,20}$/).filter((name) => !["connection", "host", "keep-alive"].includes(name))
const value = fc.stringMatching(/^[ -~]{0,40}$/)
const headers = fc
  .array(fc.tuple(name, fc.array(value, { minLength: 1, maxLength: 3 })), { maxLength: 5 })
  .map((all) => new Map(all))
const fin = fc.boolean()

const anyFrame: fc.Arbitrary<Sendable> = fc.oneof(
  fc.record({ _tag: fc.constant("SynStream" as const), streamId, fin, unidirectional: fc.boolean(), headers }),
  fc.record({ _tag: fc.constant("SynReply" as const), streamId, fin, headers }),
  fc.record({ _tag: fc.constant("Headers" as const), streamId, fin, headers }),
  fc.record({ _tag: fc.constant("RstStream" as const), streamId, status: number }),
  fc.record({ _tag: fc.constant("Settings" as const), count: fc.integer({ min: 0, max: 40 }) }),
  fc.record({ _tag: fc.constant("Ping" as const), id: number }),
  fc.record({ _tag: fc.constant("GoAway" as const), lastStreamId: number, status: number }),
  fc.record({ _tag: fc.constant("WindowUpdate" as const), streamId, delta: number }),
  fc.record({ _tag: fc.constant("Data" as const), streamId, fin, data: fc.uint8Array({ maxLength: 300 }) })
)

const encodeAll = (frames: ReadonlyArray<Sendable>) => {
  const deflate = makeHeaderDeflater()
  return Buffer.concat(frames.map((frame) => encodeFrame(frame, deflate)))
}

/** Cuts the bytes at these places. */
const cut = (bytes: Buffer, places: ReadonlyArray<number>) => {
  const ends = places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b)
  return [...ends, bytes.length].map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end))
}

/** As the peer sent them: pieces of one data frame together. */
const joined = (frames: ReadonlyArray<Frame>, sent: ReadonlyArray<Sendable>) => {
  const result: Array<Frame> = []
  let left = 0
  for (const frame of frames) {
    const last = result.at(-1)
    if (frame._tag === "Data" && left > 0 && last?._tag === "Data") {
      result[result.length - 1] = { ...frame, data: Buffer.concat([last.data, frame.data]) }
      left -= frame.data.length
      continue
    }
    result.push(frame)
    const whole = sent[result.length - 1]
    if (frame._tag === "Data" && whole?._tag === "Data") left = whole.data.length - frame.data.length
  }
  return result.map((frame) => (frame._tag === "Data" ? { ...frame, data: Uint8Array.from(frame.data) } : frame))
}

describe("any bytes", () => {
  it("reads the frames that were written, however they were cut", () => {
    fc.assert(
      fc.property(fc.array(anyFrame, { maxLength: 12 }), fc.array(fc.nat(), { maxLength: 10 }), (frames, places) => {
        const result = read(...cut(encodeAll(frames), places))
        assert.strictEqual(result.failure, undefined)
        assert.deepStrictEqual(joined(result.frames, frames), frames as ReadonlyArray<Frame>)
      })
    )
  })

  it("ends in frames, in waiting or in a failure, whatever comes", () => {
    const mutated = fc
      .tuple(
        fc.array(anyFrame, { minLength: 1, maxLength: 6 }),
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 8 })
      )
      .map(([frames, changes]) => {
        const bytes = encodeAll(frames)
        for (const [place, byte] of changes) bytes[place % bytes.length] = byte
        return bytes
      })
    const hostile = fc.oneof(fc.uint8Array({ maxLength: 400 }), mutated)
    fc.assert(
      fc.property(hostile, fc.array(fc.nat(), { maxLength: 6 }), (bytes, places) => {
        const { frames, failure } = read(...cut(Buffer.from(bytes), places))
        assert.notInclude(failure ?? "", "cannot be read")
        const data = frames.reduce((sum, frame) => sum + (frame._tag === "Data" ? frame.data.length : 0), 0)
        assert.isAtMost(data, bytes.length)
        // Each frame cost the peer eight bytes, and each piece of one at least one.
        assert.isAtMost(frames.length, bytes.length)
      }),
      { numRuns: 2000 }
    )
  })
})
