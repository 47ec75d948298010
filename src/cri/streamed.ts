/**
 * The Stream… RPCs: a list in messages that every client takes. Each of their responses has one field, the repeated
 * number 1 (CRI v1), so they share this. No items, no message: the client reads an immediate end as an empty list.
 */
import { Buffer } from "node:buffer"
import { BinaryWriter } from "@bufbuild/protobuf/wire"
import { Effect, Stream } from "effect"
import { Encoded } from "./adapter.ts"

/**
 * Bytes of a message before the item that would pass them, far below the 16 MiB that kubelet takes at once: what is
 * encoded and not yet read stays small. A larger item goes alone.
 */
const fullMessage = 1 << 20

/** Field 1, length-delimited (protobuf encoding). */
const itemTag = (1 << 3) | 2

/** Bytes at most of tag and length before an item. */
const itemOverhead = 6

/** A generated message type; the item's, not the response's. */
export interface ItemType<A> {
  readonly encode: (item: A) => { readonly finish: () => Uint8Array }
}

/** The same items as a response of one message, whatever its size. */
export const inOneMessage = <A>(type: ItemType<A>, items: Iterable<A>): Encoded => {
  const writer = new BinaryWriter()
  for (const item of items) writer.uint32(itemTag).bytes(type.encode(item).finish())
  return new Encoded(Buffer.from(writer.finish()))
}

/** Takes items as long as they fit; the last one that did not waits in `pending`. */
interface Cursor<A> {
  readonly items: Iterator<A>
  readonly pending: Uint8Array | undefined
}

const nextMessage = <A>(type: ItemType<A>, { items, pending }: Cursor<A>) => {
  const writer = new BinaryWriter()
  let size = 0
  let next = pending
  while (true) {
    if (next === undefined) {
      const item = items.next()
      if (item.done === true) break
      next = type.encode(item.value).finish()
    }
    if (size > 0 && size + next.length + itemOverhead > fullMessage) break
    writer.uint32(itemTag).bytes(next)
    size += next.length + itemOverhead
    next = undefined
  }
  if (size === 0) return undefined
  return [new Encoded(Buffer.from(writer.finish())), { items, pending: next }] as const
}

/** Items are taken and encoded as the client reads, message by message. */
export const streamed = <A, E, R>(
  type: ItemType<A>,
  list: Effect.Effect<Iterable<A>, E, R>
): Stream.Stream<Encoded, E, R> =>
  Stream.unwrap(
    Effect.map(list, (items) => {
      const start: Cursor<A> = { items: items[Symbol.iterator](), pending: undefined }
      return Stream.unfold(start, (cursor) => Effect.sync(() => nextMessage(type, cursor)))
    })
  )
