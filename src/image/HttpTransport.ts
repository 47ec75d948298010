/** The real HTTP client: node:https with agents per TransportPolicy. Nothing of it is loaded before the first request. */
import { createHash } from "node:crypto"
import { Effect, Layer } from "effect"
import { HttpClient, type HttpClientError } from "effect/http"
import { TransportPolicy, type TransportPolicyShape } from "./TransportPolicy.ts"

/** Policies whose agents are kept for the next request. */
const maxAgents = 16
/** Milliseconds that an unused connection stays open for the next request. */
const idleSocketMs = 15_000

const keyOf = (policy: TransportPolicyShape): string =>
  createHash("sha256").update(JSON.stringify(policy)).digest("hex")

interface PolicyClient {
  readonly client: HttpClient.HttpClient
  readonly close: () => void
}

const load = Effect.promise(async () => {
  const [{ HttpAgent, makeNodeHttp }, http, https, tls] = await Promise.all([
    import("@effect/platform-node/NodeHttpClient"),
    import("node:http"),
    import("node:https"),
    import("node:tls")
  ])
  // The system's certificates, as every other program of the host uses them; Node's own where there are none.
  const system = tls.getCACertificates("system")
  const trusted = system.length > 0 ? system : tls.getCACertificates("bundled")

  return Effect.fnUntraced(function* (policy: TransportPolicyShape) {
    const options = { keepAlive: true, timeout: idleSocketMs, proxyEnv: process.env }
    const agents = {
      http: new http.Agent(options),
      https: new https.Agent({
        ...options,
        rejectUnauthorized: !policy.insecure,
        secureContext: tls.createSecureContext({
          ca: [...trusted, ...policy.ca],
          cert: policy.clientCertificates.map(({ certificate }) => certificate),
          key: policy.clientCertificates.map(({ key }) => key)
        })
      })
    }
    const client = yield* makeNodeHttp.pipe(Effect.provideService(HttpAgent, agents))
    const close = () => {
      agents.http.destroy()
      agents.https.destroy()
    }
    return { client, close } satisfies PolicyClient
  })
})

export const layer: Layer.Layer<HttpClient.HttpClient> = Layer.effect(
  HttpClient.HttpClient,
  Effect.gen(function* () {
    const clients = new Map<string, PolicyClient>()
    const loaded = yield* Effect.cached(load)
    yield* Effect.addFinalizer(() => Effect.sync(() => clients.forEach(({ close }) => close())))

    const clientFor = Effect.fnUntraced(function* (policy: TransportPolicyShape) {
      const key = keyOf(policy)
      const open = clients.get(key) ?? (yield* (yield* loaded)(policy))
      // In the order of their last use.
      clients.delete(key)
      const [oldest] = clients.keys()
      // Not closed: something may be on its way through it still. Its connections end when they have been idle.
      if (clients.size >= maxAgents && oldest !== undefined) clients.delete(oldest)
      clients.set(key, open)
      return open.client
    })

    return HttpClient.makeWith<never, never, HttpClientError.HttpClientError, never>(
      Effect.flatMap(
        Effect.fnUntraced(function* (request) {
          const client = yield* clientFor(yield* TransportPolicy)
          return yield* client.execute(request)
        })
      ),
      Effect.succeed
    )
  })
)
