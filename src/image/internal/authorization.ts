/** The Authorization header of one pull from one registry: got from its token server when asked for, renewed when it expires. */
import { Buffer } from "node:buffer"
import { Effect, Redacted, Ref, Schema, Semaphore } from "effect"
import type { Credentials } from "../Credentials.ts"
import { RegistryDenied, RegistryMisbehaved, RegistryRefused } from "../RegistryError.ts"
import { type Challenge, parseChallenges } from "./challenge.ts"
import { exchange, explain, readBody } from "./exchange.ts"

/** Bytes of a token server's answer. */
const maxTokenBytes = 1024 * 1024

export interface AuthorizationTarget {
  readonly host: string
  /** Repository that will be pulled from. */
  readonly path: string
  readonly credentials: Credentials | undefined
  readonly insecure: boolean
  readonly patienceMs: number
}

const TokenAnswer = Schema.fromJsonString(
  Schema.toCodecGoJson(
    Schema.Struct({ token: Schema.optionalKey(Schema.String), access_token: Schema.optionalKey(Schema.String) })
  )
)
const decodeToken = Schema.decodeUnknownOption(TokenAnswer)

const basic = (credentials: Extract<Credentials, { readonly _tag: "Basic" }>): Redacted.Redacted => {
  const pair = `${credentials.username}:${Redacted.value(credentials.password)}`
  return Redacted.make(`Basic ${Buffer.from(pair).toString("base64")}`)
}

const bearer = (token: string): Redacted.Redacted => Redacted.make(`Bearer ${token}`)

export const makeAuthorization = Effect.fnUntraced(function* (target: AuthorizationTarget) {
  const { host, path, credentials, insecure, patienceMs } = target
  const what = `authorization for ${path}`
  const denied = (reason: string) => new RegistryDenied({ host, what, reason })
  const misbehaved = (reason: string) => new RegistryMisbehaved({ host, what, reason })
  const current = yield* Ref.make<Redacted.Redacted | undefined>(
    credentials?._tag === "RegistryToken" ? bearer(Redacted.value(credentials.token)) : undefined
  )
  const one = yield* Semaphore.make(1)

  /** The token server named by a challenge, unless credentials would travel in the clear because of it. */
  const realmOf = Effect.fnUntraced(function* (challenge: Challenge, registry: URL) {
    const realm = challenge.parameters.get("realm") ?? ""
    if (!URL.canParse(realm)) return yield* misbehaved(`the token server ${JSON.stringify(realm)} is not a URL`)
    const url = new URL(realm)
    const clear = url.protocol === "http:" && registry.protocol === "http:"
    if (url.protocol !== "https:" && !clear) {
      return yield* misbehaved(`the token server ${url.protocol}//${url.host} is not reached by https`)
    }
    if (url.username !== "" || url.password !== "") {
      return yield* misbehaved(`the token server's URL at ${url.host} contains credentials`)
    }
    return url
  })

  const fetchToken = Effect.fnUntraced(function* (challenge: Challenge, registry: URL) {
    const url = yield* realmOf(challenge, registry)
    const service = challenge.parameters.get("service")
    // Always this scope, whatever the challenge asks for: a registry cannot make us fetch more than a pull needs.
    const parameters = { ...(service === undefined ? {} : { service }), scope: `repository:${path}:pull` }
    const common = { host: url.host, what, url, headers: {}, insecure, patienceMs }
    if (credentials?._tag !== "IdentityToken") {
      for (const [key, value] of Object.entries(parameters)) url.searchParams.append(key, value)
      if (credentials?._tag === "Basic") url.searchParams.set("account", credentials.username)
    }
    const request =
      credentials?._tag === "IdentityToken"
        ? ({
            ...common,
            method: "POST",
            authorization: undefined,
            form: {
              ...parameters,
              grant_type: "refresh_token",
              refresh_token: Redacted.value(credentials.token),
              client_id: "cricket"
            }
          } as const)
        : ({
            ...common,
            method: "GET",
            authorization: credentials?._tag === "Basic" ? basic(credentials) : undefined
          } as const)
    const response = yield* exchange(request)
    if (response.status !== 200) {
      const reason = yield* explain(request, response)
      return yield* response.status >= 400 && response.status < 500 && response.status !== 429
        ? new RegistryDenied({ host: url.host, what, reason })
        : new RegistryRefused({ host: url.host, what, status: response.status, reason })
    }
    const answer = decodeToken(new TextDecoder().decode(yield* readBody(request, response, maxTokenBytes)))
    const token = answer._tag === "Some" ? (answer.value.token ?? answer.value.access_token ?? "") : ""
    if (!/^[\x21-\x7e]+$/.test(token)) return yield* misbehaved(`${url.host} answered without a token`)
    return bearer(token)
  }, Effect.scoped)

  const answerChallenge = Effect.fnUntraced(function* (
    challenges: ReadonlyArray<Challenge>,
    registry: URL,
    used: Redacted.Redacted | undefined
  ) {
    const byBearer = challenges.find(({ scheme }) => scheme === "bearer")
    if (byBearer !== undefined) {
      if (credentials?._tag === "RegistryToken")
        return yield* denied("the registry token of the request is not accepted")
      return yield* fetchToken(byBearer, registry)
    }
    if (challenges.some(({ scheme }) => scheme === "basic")) {
      if (credentials?._tag !== "Basic")
        return yield* denied("it asks for a user name and a password, and none is configured")
      if (used !== undefined)
        return yield* denied(`the credentials of user ${JSON.stringify(credentials.username)} are not accepted`)
      return basic(credentials)
    }
    return yield* denied("it names no way of authentication that is known here (Basic, Bearer)")
  })

  return {
    /** Value for the next request. */
    current: Ref.get(current),
    /** After a 401 to a request that was sent with `used`: gets what the challenge asks for, once for all who wait. */
    renew: (header: string, registry: URL, used: Redacted.Redacted | undefined) =>
      one.withPermit(
        Effect.gen(function* () {
          if ((yield* Ref.get(current)) !== used) return
          yield* Ref.set(current, yield* answerChallenge(parseChallenges(header), registry, used))
        })
      )
  }
})

export type Authorization = Effect.Success<ReturnType<typeof makeAuthorization>>
