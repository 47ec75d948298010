/** Identifiers of pods and containers: 64 lower-case hex digits, as every tool around CRI expects them. */
import { Effect, Random } from "effect"

const pattern = /^[0-9a-f]{64}$/

/** What passes it can be part of a path. */
export const isId = (text: string): boolean => pattern.test(text)

/** 256 bits of the Random service, so that a seeded run gives the same ids. Not a secret. */
export const generateId: Effect.Effect<string> = Effect.map(Random.Random, (random) =>
  Array.from({ length: 16 }, () =>
    Math.floor(random.nextDoubleUnsafe() * 0x10000)
      .toString(16)
      .padStart(4, "0")
  ).join("")
)
