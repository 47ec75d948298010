/** Messages as a client makes and reads them. */
import { Effect, Stream } from "effect"
import { Encoded } from "../../../src/cri/adapter.ts"

interface MessageType<A> {
  readonly decode: (bytes: Uint8Array) => A
}

/** A message with every field at its default. */
export const blank = <A>(message: MessageType<A>): A => message.decode(new Uint8Array(0))

const read =
  <A>(message: MessageType<A>) =>
  (answer: A | Encoded): A =>
    answer instanceof Encoded ? message.decode(answer.bytes) : answer

/** Answers may come as bytes that were encoded once; the client sees messages. */
export const decoded = <A, E, R>(
  effect: Effect.Effect<A | Encoded, E, R>,
  message: MessageType<A>
): Effect.Effect<A, E, R> => Effect.map(effect, read(message))

/** What a stream has sent by its end, message by message. */
export const collected = <A, E, R>(
  stream: Stream.Stream<A | Encoded, E, R>,
  message: MessageType<A>
): Effect.Effect<ReadonlyArray<A>, E, R> => Stream.runCollect(Stream.map(stream, read(message)))
