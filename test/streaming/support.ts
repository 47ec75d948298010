/** The streaming server on a real socket, with pods that the tests play. */
import { type Cause, Deferred, Effect, Layer, Queue, References, Stream } from "effect"
import { SecureRandom } from "effect/crypto"
import { Files } from "../../src/linux/Files.ts"
import { LinuxError } from "../../src/linux/LinuxError.ts"
import type { AttachStream, ExecStream, PodSide } from "../../src/streaming/PodSide.ts"
import type { TerminalSize } from "../../src/linux/Terminal.ts"
import { StreamingServer, type StreamingOptions } from "../../src/streaming/StreamingServer.ts"
import { StreamingTransport } from "../../src/streaming/Transport.ts"

type Output = Queue.Queue<Uint8Array, LinuxError | Cause.Done>

/** A process whose outputs, input and end are the test's. */
export const makeProcess = Effect.gen(function* () {
  const stdout: Output = yield* Queue.bounded<Uint8Array, LinuxError | Cause.Done>(1)
  const stderr: Output = yield* Queue.bounded<Uint8Array, LinuxError | Cause.Done>(1)
  const exit = yield* Deferred.make<number, { readonly message: string }>()
  const state = { input: "", inputEnded: false, released: false, reads: true, stuck: false, hungUp: false }
  const sizes: Array<TerminalSize> = []

  const streams = {
    stdout: Stream.fromQueue(stdout),
    stderr: Stream.fromQueue(stderr),
    write: (data: Uint8Array) =>
      Effect.suspend(() => {
        if (state.stuck) return Effect.never
        if (!state.reads) {
          return Effect.fail(new LinuxError({ operation: "write", subject: "stdin", code: "EPIPE" }))
        }
        state.input += Buffer.from(data).toString()
        return Effect.void
      }),
    closeStdin: Effect.sync(() => {
      state.inputEnded = true
    }),
    hangUp: Effect.sync(() => {
      state.hungUp = true
    }),
    resize: (size: TerminalSize) => Effect.sync(() => void sizes.push(size)),
    exit: Deferred.await(exit),
    ended: Effect.asVoid(Effect.ignore(Deferred.await(exit))),
    dropped: Effect.succeed(0)
  }

  const say = (output: Output) => (text: string | Uint8Array) => Queue.offer(output, Buffer.from(text))
  return {
    state,
    sizes,
    /** As what `PodSide.exec` and `PodSide.attach` give. */
    started: Effect.acquireRelease(Effect.succeed(streams), () =>
      Effect.sync(() => {
        state.released = true
      })
    ),
    stdout: say(stdout),
    stderr: say(stderr),
    /** Closes the outputs, then ends. */
    end: (code: number) =>
      Effect.all([Queue.end(stdout), Queue.end(stderr), Deferred.succeed(exit, code)], { discard: true }),
    fail: (message: string) =>
      Effect.all([Queue.end(stdout), Queue.end(stderr), Deferred.fail(exit, { message })], { discard: true })
  }
})

export type FakeProcess = Effect.Success<typeof makeProcess>

const unexpected = Effect.die("the test has nothing for this")

export const noPods: PodSide = {
  exec: () => unexpected,
  attach: () => unexpected,
  dial: () => unexpected,
  named: () => (self) => self
}

export const options: StreamingOptions = { address: "127.0.0.1", port: 0, idleTimeoutMs: 60_000, tls: undefined }

/** Until the test's scope closes. */
export const startServer = (podSide: Partial<PodSide>, changed: Partial<StreamingOptions> = {}) =>
  StreamingServer.make({ ...options, ...changed }, { ...noPods, ...podSide }).pipe(
    Effect.provide(Layer.merge(StreamingTransport.layer.pipe(Layer.provide(Files.layer)), SecureRandom.layerWebCrypto)),
    Effect.provideService(References.MinimumLogLevel, "None")
  )

export const execRequest: ExecStream = {
  _tag: "Exec",
  containerId: "c1",
  command: ["cat"],
  stdin: true,
  stdout: true,
  stderr: true,
  terminal: false
}

export const attachRequest: AttachStream = {
  _tag: "Attach",
  containerId: "c1",
  stdin: true,
  stdout: true,
  stderr: true,
  terminal: false
}

/** A server whose only command, or container, is this process. */
export const serveProcess = (process: FakeProcess, changed: Partial<StreamingOptions> = {}) =>
  startServer({ exec: () => process.started, attach: () => process.started }, changed)
