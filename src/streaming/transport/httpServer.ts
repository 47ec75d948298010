/** The HTTP server that streaming connections begin on. It knows sockets and protocols, not what is streamed. */
import { Effect, Exit, Fiber, Scope } from "effect"
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import { createServer as createTlsServer } from "node:https"
import { type AddressInfo, isIPv6 } from "node:net"
import { Files } from "../../linux/Files.ts"
import { headTimeoutMs, maxConnections, maxHeadBytes } from "../limits.ts"
import { ConnectionLost, StreamingServerError } from "../StreamingError.ts"
import { followTlsFiles, readTlsFiles } from "../TlsSettings.ts"
import type { IncomingRequest, ListenOptions, StreamingTransport } from "../Transport.ts"
import { replaceCertificates, serverOptions } from "./tls.ts"
import { answerHeaders, requestOf, upgradable } from "./upgrading.ts"

const httpOptions = {
  maxHeaderSize: maxHeadBytes,
  headersTimeout: headTimeoutMs,
  requestTimeout: headTimeoutMs,
  connectionsCheckingInterval: 1_000
}

const makeServer = Effect.fnUntraced(function* ({ tls }: ListenOptions) {
  if (tls === undefined) return createServer(httpOptions)
  const files = yield* readTlsFiles(tls)
  const server = createTlsServer({ ...httpOptions, ...(yield* serverOptions(tls, files, headTimeoutMs)) })
  yield* followTlsFiles(tls, files, (changed) => replaceCertificates(server, tls, changed)).pipe(Effect.forkScoped)
  return server
})

/** A request that stays HTTP: there is nothing here for it but a refusal. */
const plain = (request: IncomingMessage, response: ServerResponse): IncomingRequest => {
  const notUpgradable = Effect.fail(new ConnectionLost({ reason: "the request cannot be upgraded" }))
  return {
    request: requestOf(request),
    refuse: (refusal) =>
      Effect.sync(() => {
        const { headers, body } = answerHeaders(refusal)
        // As pairs: a header may come more than once.
        response.writeHead(refusal.status, headers.flat()).end(request.method === "HEAD" ? undefined : body)
      }),
    spdy: () => notUpgradable,
    webSocket: () => notUpgradable
  }
}

const bind = (server: Server, { address, port }: ListenOptions): Effect.Effect<number, StreamingServerError> =>
  Effect.callback((resume) => {
    server.once("error", (cause) => {
      const where = isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`
      resume(Effect.fail(new StreamingServerError({ action: `listen on ${where}`, reason: cause.message, cause })))
    })
    server.listen({ host: address, port }, () => resume(Effect.succeed((server.address() as AddressInfo).port)))
  })

const close = (server: Server): Effect.Effect<void> =>
  Effect.sync(() => {
    server.close()
    // Those that were upgraded end with the fibers that serve them.
    server.closeAllConnections()
  })

export const makeListen: Effect.Effect<StreamingTransport["Service"], never, Files> = Effect.map(
  Files,
  (files): StreamingTransport["Service"] => ({
    listen: Effect.fn("StreamingTransport.listen")(function* (options, handle) {
      const context = yield* Effect.context<Scope.Scope>()
      const fork = Effect.runForkWith(context)
      // A scope of its own, so that what still streams is cut before the server closes.
      const connections = yield* Scope.make()
      const server = yield* makeServer(options).pipe(Effect.provideService(Files, files))
      server.maxConnections = maxConnections

      const serve = (incoming: IncomingRequest, after: Effect.Effect<void>) =>
        Fiber.runIn(fork(Effect.ensuring(Effect.scoped(handle(incoming)), after)), connections)
      server.on("upgrade", (request, socket, head) => {
        const cut = Effect.sync(() => void socket.destroy())
        serve(upgradable(request, socket, head, options.idleTimeoutMs), cut)
      })
      server.on("request", (request, response) => {
        serve(plain(request, response), Effect.void)
      })
      let full = false
      server.on("connection", () => {
        full = false
      })
      server.on("drop", () => {
        if (!full) fork(Effect.logWarning(`${maxConnections} streaming connections are open; more are refused`))
        full = true
      })

      const port = yield* Effect.acquireRelease(bind(server, options), () =>
        Effect.andThen(Scope.close(connections, Exit.void), close(server))
      )
      return port
    })
  })
)
