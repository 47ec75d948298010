/** A real server on a real socket in a directory of its own, its client, and what it logged. */
import { type Client, credentials, makeGenericClientConstructor, type ServiceError } from "@grpc/grpc-js"
import { Console, Context, Effect, Layer, Schedule, type Scope } from "effect"
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, renameSync, rmSync, unlinkSync } from "node:fs"
import { request } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { ImageServiceService, RuntimeServiceService } from "../../src/gen/runtime/v1/api.ts"
import type { SocketError, SocketInUse } from "../../src/cri/CriError.ts"
import { makeRequestListener, makeRouter } from "../../src/cri/http.ts"
import { type LogLevelName, loggingLayer } from "../../src/cri/logging.ts"
import { Readiness } from "../../src/cri/Readiness.ts"
import { RuntimeStatus } from "../../src/cri/RuntimeStatus.ts"
import { type ImageHandlers, makeServices, type RuntimeHandlers } from "../../src/cri/services.ts"
import { serve, type TransportOptions } from "../../src/cri/Transport.ts"
import { type FileKind, Files } from "../../src/linux/Files.ts"
import { LinuxError } from "../../src/linux/LinuxError.ts"

const system = <A>(operation: string, subject: string, act: () => A): Effect.Effect<A, LinuxError> =>
  Effect.try({
    try: act,
    catch: (cause) => new LinuxError({ operation, subject, code: (cause as NodeJS.ErrnoException).code ?? "", cause })
  })

/** The part of Files that the transport uses, straight on the host. */
export const hostFiles = Layer.mock(Files, {
  makeDirectory: (path, options) => system("mkdir", path, () => void mkdirSync(path, options)),
  lstat: (path) =>
    system("lstat", path, () => {
      const stat = lstatSync(path)
      const kind: FileKind = stat.isSocket() ? "socket" : stat.isDirectory() ? "directory" : "file"
      return {
        kind,
        mode: stat.mode & 0o7777,
        uid: stat.uid,
        gid: stat.gid,
        size: stat.size,
        inode: stat.ino,
        device: stat.dev,
        specialDevice: stat.rdev,
        modifiedMs: stat.mtimeMs
      }
    }),
  chmod: (path, mode) => system("chmod", path, () => chmodSync(path, mode)),
  rename: (from, to) => system("rename", from, () => renameSync(from, to)),
  removeFile: (path) => system("unlink", path, () => unlinkSync(path))
})

export const temporaryDirectory: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "cricket-cri-"))),
  (directory) => Effect.sync(() => rmSync(directory, { recursive: true, force: true }))
)

/** Lines that the loggers wrote to stderr. */
export class LogLines extends Context.Service<LogLines, Array<string>>()("test/cri/LogLines") {}

const capture = (lines: Array<string>): Console.Console =>
  new Proxy({} as Console.Console, { get: () => (line: string) => lines.push(line) })

/** The program's real logging, with stderr collected. */
export const capturedLogs = (level: LogLevelName) =>
  Layer.unwrap(
    Effect.sync(() => {
      const lines: Array<string> = []
      return Layer.mergeAll(
        loggingLayer({ level, format: "text" }),
        Layer.succeed(Console.Console, capture(lines)),
        Layer.succeed(LogLines, lines)
      )
    })
  )

export const statusLayer = Layer.succeed(RuntimeStatus, {
  conditions: Effect.succeed({
    RuntimeReady: { ready: true },
    NetworkReady: { ready: false, reason: "NetworkPluginNotReady", message: "no CNI configuration in /etc/cni/net.d" }
  } as const),
  handlers: Effect.succeed([{ name: "", features: { recursiveReadOnlyMounts: true, userNamespaces: false } }]),
  features: { supplementalGroupsPolicy: true, userNamespacesHostNetwork: false, mountOptions: false },
  info: Effect.succeed({ config: { root: "/var/lib/cricket" } }),
  cgroupDriver: "cgroupfs"
})

/** Every test environment: ready or recovering, with logs at a level. */
export const environment = (level: LogLevelName = "info") =>
  Layer.mergeAll(hostFiles, Readiness.layer, statusLayer, capturedLogs(level))

export interface TestServer {
  readonly path: string
  readonly call: <O = unknown>(method: string, request: object, options?: CallOptions) => Effect.Effect<O, ServiceError>
  /** Opens a call without waiting for its end; `cancel` is what a client that goes away does. */
  readonly client: Client
}

interface CallOptions {
  /** Milliseconds from now. */
  readonly timeout?: number
}

const deadline = (timeout: number): number => Date.now() + timeout

/** Calls a unary RPC by its protobuf name; interrupting the effect cancels the call. */
export const unary =
  (client: Client) =>
  <O>(method: string, message: object, options: CallOptions = {}): Effect.Effect<O, ServiceError> =>
    Effect.callback((resume) => {
      const functions = client as unknown as Record<string, (...args: ReadonlyArray<unknown>) => { cancel(): void }>
      const name = `${method.charAt(0).toLowerCase()}${method.slice(1)}`
      const answered = (error: ServiceError | null, value: O) =>
        resume(error === null ? Effect.succeed(value) : Effect.fail(error))
      const callOptions = options.timeout === undefined ? {} : { deadline: deadline(options.timeout) }
      const call = functions[name]!.call(client, message, callOptions, answered)
      return Effect.sync(() => call.cancel())
    })

const Constructor = makeGenericClientConstructor({ ...RuntimeServiceService, ...ImageServiceService }, "cri")

export const connectTo = (path: string): Effect.Effect<Client, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(
      () =>
        new Constructor(`unix:${path}`, credentials.createInsecure(), {
          "grpc.max_receive_message_length": -1,
          "grpc.use_local_subchannel_pool": 1
        })
    ),
    (client) => Effect.sync(() => client.close())
  )

/** Serves the handlers on a fresh socket, marks the daemon ready and connects. */
export const startServer = Effect.fnUntraced(function* (handlers: {
  readonly runtime: RuntimeHandlers<RuntimeStatus>
  readonly image?: ImageHandlers<RuntimeStatus>
  readonly transport?: Partial<TransportOptions>
  readonly maxResponseBytes?: number
  readonly recovering?: boolean
}): Effect.fn.Return<TestServer, SocketInUse | SocketError, Files | Readiness | RuntimeStatus | Scope.Scope> {
  const path = handlers.transport?.path ?? join(yield* temporaryDirectory, "run", "cri.sock")
  const services = yield* makeServices(
    { runtime: handlers.runtime, image: handlers.image ?? {} },
    { maxResponseBytes: handlers.maxResponseBytes ?? 80 * 1024 * 1024 }
  )
  const http = yield* makeRequestListener(makeRouter({}))
  yield* serve({ http, ...handlers.transport, path, services })
  if (handlers.recovering !== true) yield* (yield* Readiness).markReady
  const client = yield* connectTo(path)
  const server: TestServer = { path, client, call: unary(client) }
  return server
})

/** Waits up to five seconds for something that happens beside the test. */
export const eventually = (holds: () => boolean): Effect.Effect<void> =>
  Effect.sync(holds).pipe(
    Effect.repeat({ until: (done) => done, schedule: Schedule.spaced("5 millis") }),
    Effect.timeoutOrElse({ duration: "5 seconds", orElse: () => Effect.die(new Error("did not happen in 5 seconds")) }),
    Effect.asVoid
  )

/** An HTTP/1 request over a unix socket. */
export const httpRequest = (socketPath: string, path: string, method = "GET") =>
  Effect.callback<{ status: number; type: string | undefined; body: string }, Error>((resume) => {
    const outgoing = request({ socketPath, path, method }, (response) => {
      const chunks: Array<Buffer> = []
      response.on("data", (chunk: Buffer) => chunks.push(chunk))
      response.on("end", () =>
        resume(
          Effect.succeed({
            status: response.statusCode ?? 0,
            type: response.headers["content-type"],
            body: Buffer.concat(chunks).toString()
          })
        )
      )
    })
    outgoing.on("error", (error) => resume(Effect.fail(error)))
    outgoing.end()
    return Effect.sync(() => outgoing.destroy())
  })
