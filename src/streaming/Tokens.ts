/** One-time secrets that stand for a request until its client connects: knowing one is all the authorization there is. */
import { Effect } from "effect"
import { SecureRandom } from "effect/crypto"
import { monotonicMs } from "../linux/monotonicMs.ts"
import { TooManyRequests } from "./StreamingError.ts"

/** 128 bits cannot be guessed; base64url needs no escape in a path. */
const tokenBytes = 16

interface Entry<A> {
  readonly request: A
  /** Of the monotonic clock, milliseconds: a step of the host's time neither ends nor prolongs it. */
  readonly expires: number
}

export interface TokensOptions {
  /** Requests that wait for their client at a time. */
  readonly capacity: number
  /** Milliseconds from `issue` until the token is worth nothing. */
  readonly lifetimeMs: number
}

export interface Tokens<A> {
  readonly issue: (request: A) => Effect.Effect<string, TooManyRequests>
  /** The request of a token that was never taken and has not expired; no second call gets it. */
  readonly take: (token: string) => Effect.Effect<A | undefined>
}

export const makeTokens = Effect.fnUntraced(function* <A>({
  capacity,
  lifetimeMs
}: TokensOptions): Effect.fn.Return<Tokens<A>, never, SecureRandom.SecureRandom> {
  const random = yield* SecureRandom.SecureRandom
  // In the order of their expiry, since all live equally long.
  const entries = new Map<string, Entry<A>>()

  const forgetExpired = (now: number) => {
    for (const [token, { expires }] of entries) {
      if (expires > now) return
      entries.delete(token)
    }
  }

  const issue = Effect.fnUntraced(function* (request: A) {
    const now = yield* monotonicMs
    forgetExpired(now)
    if (entries.size >= capacity) return yield* new TooManyRequests({ capacity })
    const token = Buffer.from(yield* random.randomBytes(tokenBytes)).toString("base64url")
    entries.set(token, { request, expires: now + lifetimeMs })
    return token
  })

  const take = (token: string) =>
    Effect.map(monotonicMs, (now) => {
      forgetExpired(now)
      const entry = entries.get(token)
      entries.delete(token)
      return entry?.request
    })

  return { issue, take }
})
