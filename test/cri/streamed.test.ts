import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { Encoded } from "../../src/cri/adapter.ts"
import { streamed } from "../../src/cri/streamed.ts"
import { Container, StreamContainersResponse, StreamImagesResponse, Image } from "../../src/gen/runtime/v1/api.ts"

const blank = Container.decode(new Uint8Array(0))
const container = (id: string, size = 0): Container => ({
  ...blank,
  id,
  annotations: size > 0 ? { a: "x".repeat(size) } : {}
})

const messagesOf = (items: Iterable<Container>) =>
  Stream.runCollect(streamed(Container, Effect.succeed(items))).pipe(
    Effect.map((messages) => messages.map(({ bytes }) => ({ bytes, ...StreamContainersResponse.decode(bytes) })))
  )

const mebibyte = 1 << 20

describe("streamed", () => {
  it.effect("an empty list is no message", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* messagesOf([]), [])
    })
  )

  it.effect("every item once and in order, however many messages it takes, none of them empty or too large", () =>
    Effect.gen(function* () {
      const items = Array.from({ length: 5000 }, (_, index) => container(`c${index}`, (index * 37) % 2000))
      const messages = yield* messagesOf(items)
      assert.deepStrictEqual(
        messages.flatMap(({ containers }) => containers),
        items
      )
      assert.isAbove(messages.length, 2)
      for (const { bytes, containers } of messages) {
        assert.isAbove(containers.length, 0)
        assert.isAtMost(bytes.length, mebibyte)
      }
    })
  )

  it.effect("an item that is larger than a message goes alone", () =>
    Effect.gen(function* () {
      const items = [container("a"), container("large", 3 * mebibyte), container("b"), container("c")]
      const ids = (yield* messagesOf(items)).map(({ containers }) => containers.map(({ id }) => id))
      assert.deepStrictEqual(ids, [["a"], ["large"], ["b", "c"]])
    })
  )

  it.effect("items that are empty messages are there too", () =>
    Effect.gen(function* () {
      const [message] = yield* messagesOf([blank, blank])
      assert.lengthOf(message?.containers ?? [], 2)
    })
  )

  it.effect("takes items only as far as its reader comes", () =>
    Effect.gen(function* () {
      let taken = 0
      const endless = function* () {
        while (true) yield container(`c${taken++}`, 1000)
      }
      const messages = yield* streamed(Container, Effect.sync(endless)).pipe(Stream.take(2), Stream.runCollect)
      assert.lengthOf(messages, 2)
      assert.isBelow(taken, 4000)
    })
  )

  it.effect("has the shape of the generated responses", () =>
    Effect.gen(function* () {
      const image: Image = { ...Image.decode(new Uint8Array(0)), id: "e".repeat(64), repoTags: ["a:1"], size: 5n }
      const [message] = yield* Stream.runCollect(streamed(Image, Effect.succeed([image])))
      assert.isTrue(message instanceof Encoded)
      assert.deepStrictEqual(
        [...(message as Encoded).bytes],
        [...StreamImagesResponse.encode({ images: [image] }).finish()]
      )
    })
  )
})
