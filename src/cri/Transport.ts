/**
 * One unix socket for gRPC and HTTP/1, as CRI-O has it: the first three bytes of a connection tell which. This file
 * owns sockets, HTTP/1 and HTTP/2 servers and nothing else; it knows neither CRI nor what the HTTP paths mean.
 */
import { Server, ServerCredentials, type ServiceDefinition, type UntypedServiceImplementation } from "@grpc/grpc-js"
import { Duration, Effect, type Scope } from "effect"
import { createServer as createHttpServer, type RequestListener } from "node:http"
import { connect, createServer, type Socket } from "node:net"
import { dirname } from "node:path"
import { Files } from "../linux/Files.ts"
import { SocketError, SocketInUse } from "./CriError.ts"

export interface GrpcService {
  readonly definition: ServiceDefinition
  /** Takes and gives what the definition's deserializers make; responses are bytes already. */
  readonly implementation: UntypedServiceImplementation
}

/** Node's, so that nobody else needs to name node:http. */
export type HttpHandler = RequestListener

export interface TransportOptions {
  /** Absolute; its directory is made if missing. At most 103 bytes, the length of sun_path less room for a suffix. */
  readonly path: string
  readonly services: ReadonlyArray<GrpcService>
  readonly http: HttpHandler
  /** Bytes of one gRPC message. Default 80 MiB, as CRI-O. */
  readonly maxReceiveBytes?: number
  /** Bytes of one gRPC message. Default 80 MiB, as CRI-O. */
  readonly maxSendBytes?: number
  /** How long running calls may take to end once the scope closes. Default 2 seconds. */
  readonly drainFor?: Duration.Input
}

/** Bytes: CRI-O's limit for messages, both ways. */
export const defaultMaxMessageBytes = 80 * 1024 * 1024

const socketMode = 0o660

// A client that has connected and says nothing for this long is dropped (milliseconds).
const silenceLimit = 10_000

// The HTTP/2 preface begins "PRI * HTTP/2.0"; no HTTP/1 method begins with these letters.
const prefaceLength = 3
const preface = "PRI"

type Answer = "listening" | "refused" | "absent"

/** Asks whether anybody listens. Only a refusal proves that nobody does: a full backlog, say, is somebody. */
const probe = (path: string): Effect.Effect<Answer, SocketError> =>
  Effect.callback((resume) => {
    const socket = connect(path)
    socket.once("connect", () => resume(Effect.succeed("listening")))
    socket.once("error", (cause: NodeJS.ErrnoException) => {
      if (cause.code === "ECONNREFUSED") resume(Effect.succeed("refused"))
      else if (cause.code === "ENOENT") resume(Effect.succeed("absent"))
      else if (cause.code === "EAGAIN") resume(Effect.succeed("listening"))
      else resume(Effect.fail(new SocketError({ path, operation: "asking who listens there", cause })))
    })
    return Effect.sync(() => socket.destroy())
  })

/** Fails unless the path is free or holds the socket of a process that is gone. */
const claim = Effect.fnUntraced(function* (path: string) {
  const files = yield* Files
  const failed = (operation: string) => (cause: unknown) => new SocketError({ path, operation, cause })
  yield* files
    .makeDirectory(dirname(path), { recursive: true, mode: 0o755 })
    .pipe(Effect.mapError(failed("making its directory")))
  const kind = yield* files.lstat(path).pipe(
    Effect.map((stat) => stat.kind),
    Effect.catchIf(
      (error) => error.code === "ENOENT",
      () => Effect.succeed("socket" as const)
    ),
    Effect.mapError(failed("looking at what is there"))
  )
  // connect(2) refuses on any file, so a file that somebody needs would look like a stale socket.
  if (kind !== "socket") return yield* failed("taking the path over")(`a ${kind} is there, not a socket; remove it`)
  if ((yield* probe(path)) === "listening") return yield* new SocketInUse({ path })
})

/** Reads the first bytes of a connection and puts them back; `decided` learns whether gRPC is spoken. */
const sniff = (socket: Socket, decided: (isGrpc: boolean) => void): void => {
  const onReadable = () => {
    const head: Buffer | null = socket.read(prefaceLength)
    if (head === null) return
    socket.removeListener("readable", onReadable)
    socket.removeListener("timeout", onSilence)
    socket.setTimeout(0)
    socket.unshift(head)
    decided(head.toString("latin1") === preface)
  }
  const onSilence = () => socket.destroy()
  // Before the hand-over nobody else listens for errors, and an error without a listener would end the daemon.
  socket.on("error", () => socket.destroy())
  socket.setTimeout(silenceLimit, onSilence)
  socket.on("readable", onReadable)
}

/** The gRPC and the HTTP/1 server behind one listener. */
const makeListener = (options: TransportOptions) => {
  const http = createHttpServer(options.http)
  http.setTimeout(silenceLimit)
  const grpc = new Server({
    "grpc.max_receive_message_length": options.maxReceiveBytes ?? defaultMaxMessageBytes,
    "grpc.max_send_message_length": options.maxSendBytes ?? defaultMaxMessageBytes
  })
  for (const { definition, implementation } of options.services) {
    const methods = Object.entries(definition).map(
      ([name, method]) => [name, { ...method, responseSerialize: (bytes: Buffer) => bytes }] as const
    )
    grpc.addService(Object.fromEntries(methods), implementation)
  }
  const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure())

  const open = new Set<Socket>()
  const undecided = new Set<Socket>()
  const server = createServer((socket) => {
    open.add(socket)
    undecided.add(socket)
    socket.once("close", () => {
      open.delete(socket)
      undecided.delete(socket)
    })
    sniff(socket, (isGrpc) => {
      undecided.delete(socket)
      if (isGrpc) injector.injectConnection(socket)
      else http.emit("connection", socket)
    })
  })

  const listen = (path: string): Effect.Effect<void, SocketError> =>
    Effect.callback((resume) => {
      server.once("error", (cause) => resume(new SocketError({ path: options.path, operation: "binding", cause })))
      server.listen(path, () => resume(Effect.void))
    })

  /** Accepts nothing more; ends when the last connection has: idle ones at once, busy ones after their last answer. */
  const drain: Effect.Effect<void> = Effect.callback((resume) => {
    server.close(() => resume(Effect.void))
    for (const socket of undecided) socket.destroy()
    grpc.tryShutdown(() => {})
    http.closeIdleConnections()
  })

  const cut = Effect.sync(() => {
    grpc.forceShutdown()
    for (const socket of open) socket.destroy()
  })

  return { listen, stop: (drainFor: Duration.Input) => drain.pipe(Effect.timeoutOption(drainFor), Effect.andThen(cut)) }
}

/**
 * Listens until the scope closes: then the socket's name goes first, running calls get `drainFor`, and what is left is
 * cut. Fails with SocketInUse if another process listens; takes over the name that a dead one left.
 */
export const serve = Effect.fn("Transport.serve")(function* (
  options: TransportOptions
): Effect.fn.Return<void, SocketInUse | SocketError, Files | Scope.Scope> {
  const { path } = options
  const files = yield* Files
  const failed = (operation: string) => (cause: unknown) => new SocketError({ path, operation, cause })
  yield* claim(path)

  // Bound under another name, given its mode, then renamed: nobody ever meets the socket with looser permissions, and
  // a stale one is replaced in one step.
  const unnamed = `${path}.new`
  yield* Effect.ignore(files.removeFile(unnamed))
  const listener = makeListener(options)
  yield* Effect.acquireRelease(listener.listen(unnamed), () =>
    listener.stop(options.drainFor ?? "2 seconds").pipe(Effect.interruptible)
  )
  yield* files.chmod(unnamed, socketMode).pipe(Effect.mapError(failed("setting its mode")))
  const { inode } = yield* files.lstat(unnamed).pipe(Effect.mapError(failed("looking at it")))
  yield* Effect.acquireRelease(files.rename(unnamed, path).pipe(Effect.mapError(failed("giving it its name"))), () =>
    // Somebody may have put a socket of their own there meanwhile.
    files.lstat(path).pipe(
      Effect.flatMap((now) => (now.inode === inode ? files.removeFile(path) : Effect.void)),
      Effect.ignore
    )
  )
})
