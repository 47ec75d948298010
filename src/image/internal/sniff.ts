/** How a layer is compressed, read from its first bytes: media types are not to be relied on. */
import { Cause, Effect, Stream } from "effect"
import type { Compression } from "../../linux/LayerUnpacker.ts"
import { MalformedDocument } from "../../model/ImageDocument.ts"

const magics: ReadonlyArray<readonly [name: Compression | "xz" | "bzip2", magic: ReadonlyArray<number>]> = [
  ["gzip", [0x1f, 0x8b]],
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
  ["xz", [0xfd, 0x37, 0x7a, 0x58]],
  ["bzip2", [0x42, 0x5a, 0x68]]
]
const longestMagic = 4

/** RFC 8878 §3.1.2: frames to skip may precede the first real one. */
const isSkippableFrame = (head: ReadonlyArray<number>): boolean =>
  ((head[0] ?? 0) & 0xf0) === 0x50 && head[1] === 0x2a && head[2] === 0x4d && head[3] === 0x18

const compressionOf = (head: ReadonlyArray<number>): Compression | "xz" | "bzip2" =>
  isSkippableFrame(head)
    ? "zstd"
    : (magics.find(([, magic]) => magic.every((byte, index) => head[index] === byte))?.[0] ?? "none")

/** The same stream again, and what its first bytes say. */
export const sniff = Effect.fnUntraced(function* <E>(blob: Stream.Stream<Uint8Array, E>, digest: string) {
  const pull = yield* Stream.toPull(blob)
  const chunks: Array<Uint8Array> = []
  const head: Array<number> = []
  while (head.length < longestMagic) {
    const next = yield* pull.pipe(Effect.catchIf(Cause.isDone, () => Effect.void))
    if (next === undefined) break
    chunks.push(...next)
    for (const chunk of next) head.push(...chunk.subarray(0, longestMagic - head.length))
  }
  const compression = compressionOf(head)
  if (compression === "xz" || compression === "bzip2") {
    return yield* new MalformedDocument({
      document: "image manifest",
      reason: `layer ${digest} is compressed with ${compression}, which images must not be`
    })
  }
  return { compression, blob: Stream.concat(Stream.fromIterable(chunks), Stream.fromPull(Effect.succeed(pull))) }
})
