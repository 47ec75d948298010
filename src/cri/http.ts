/** The HTTP side of the CRI socket: small read-only reports for people and tools. */
import { Cause, Context, Effect, Exit, Fiber, Scope } from "effect"
import type { HttpHandler } from "./Transport.ts"

export interface HttpReply {
  readonly status: number
  readonly contentType: string
  readonly body: string
}

/** `path` is without its query. */
export type HttpRouter<R = never> = (method: string, path: string) => Effect.Effect<HttpReply, never, R>

/** A job or a wait of the daemon, listed at GET /debug/waits. */
export interface Wait {
  readonly name: string
  /** What kind of work: "pull", "stop", "lock" and so on. */
  readonly kind: string
  /** Milliseconds since it began. */
  readonly ageMs: number
}

const plain = (status: number, body: string): HttpReply => ({ status, contentType: "text/plain; charset=utf-8", body })

/** JSON with a line break at its end, so that curl leaves the prompt alone. */
export const jsonReply = (value: unknown): HttpReply => ({
  status: 200,
  contentType: "application/json",
  body: `${JSON.stringify(value, undefined, 2)}\n`
})

/** The reply of a path; or, under a path that ends in "/", the reply for what stands behind it. */
export type HttpRoute<R> = Effect.Effect<HttpReply, never, R> | ((rest: string) => Effect.Effect<HttpReply, never, R>)

/** All are GET. */
export const makeRouter =
  <R = never>(routes: Readonly<Record<string, HttpRoute<R>>>): HttpRouter<R> =>
  (method, path) => {
    const parent = path.slice(0, path.lastIndexOf("/") + 1)
    const [key, rest] = Object.hasOwn(routes, path) ? [path, ""] : [parent, path.slice(parent.length)]
    const route = Object.hasOwn(routes, key) ? routes[key] : undefined
    if (route === undefined || (rest === "") !== Effect.isEffect(route)) {
      return Effect.succeed(plain(404, `nothing at ${path}; there is: ${Object.keys(routes).join(", ")}\n`))
    }
    if (method !== "GET" && method !== "HEAD") return Effect.succeed(plain(405, `${path} answers GET only\n`))
    return Effect.isEffect(route) ? route : route(rest)
  }

/** GET /debug/waits: every job and wait, oldest first. */
export const debugWaits = <R>(
  waits: Effect.Effect<ReadonlyArray<Wait>, never, R>
): Effect.Effect<HttpReply, never, R> =>
  Effect.map(waits, (list) => jsonReply(list.toSorted((a, b) => b.ageMs - a.ageMs)))

/** Makes the transport's handler; requests are fibers of the scope, and end when their client goes. */
export const makeRequestListener = Effect.fnUntraced(function* <R>(
  router: HttpRouter<R>
): Effect.fn.Return<HttpHandler, never, R | Scope.Scope> {
  const context = yield* Effect.context<R | Scope.Scope>()
  // A scope of its own, closed after the transport's, so that running requests may finish.
  const scope = yield* Scope.fork(Context.get(context, Scope.Scope))
  const fork = Effect.runForkWith(context)
  return (request, response) => {
    const path = (request.url ?? "/").replace(/\?.*$/s, "")
    const reply = Effect.suspend(() => router(request.method ?? "GET", path)).pipe(
      Effect.tapCause((cause) =>
        Cause.hasInterruptsOnly(cause) ? Effect.void : Effect.logError(`${request.method} ${path} failed`, cause)
      )
    )
    const fiber = Fiber.runIn(fork(reply), scope)
    response.once("close", () => fiber.interruptUnsafe())
    fiber.addObserver((exit) => {
      const { status, contentType, body } = Exit.isSuccess(exit) ? exit.value : plain(500, "internal error\n")
      // One request per connection: the daemon's end need not wait for idle ones.
      response.writeHead(status, {
        "content-type": contentType,
        "content-length": Buffer.byteLength(body),
        connection: "close"
      })
      response.end(request.method === "HEAD" ? undefined : body)
    })
  }
})
