/**
 * The one way from gRPC to a handler and back, the same for every RPC: readiness, span, log lines, metrics, status
 * codes, cancellation. A handler contains the operation and nothing of this.
 *
 * A client that goes away interrupts the fiber made here, which only waits: what must survive (jobs of pods, pulls)
 * runs in the scope of its own subsystem.
 */
import type {
  handleServerStreamingCall,
  handleUnaryCall,
  Metadata,
  MethodDefinition,
  ServerUnaryCall
} from "@grpc/grpc-js"
import { Cause, Clock, Context, Duration, Effect, Exit, Fiber, LogLevel, Option, Scope, Stream } from "effect"
import { Headers, HttpTraceContext } from "effect/http"
import { ResponseTooLarge, StillRecovering } from "./CriError.ts"
import { Readiness } from "./Readiness.ts"
import { redactMessage } from "./redact.ts"
import { requestIds } from "./requestIds.ts"
import { makeRpcMetrics } from "./rpcMetrics.ts"
import { causeChain, type RpcError, statusOf } from "./statusCodes.ts"

/** A response that is already protobuf bytes: lists that are encoded once per change of state, not once per call. */
export class Encoded {
  readonly bytes: Buffer
  constructor(bytes: Buffer) {
    this.bytes = bytes
  }
}

export type UnaryHandler<I, O, R> = (request: I) => Effect.Effect<O | Encoded, RpcError, R>
export type StreamHandler<I, O, R> = (request: I) => Stream.Stream<O | Encoded, RpcError, R>

/** What the adapter reads of a generated method definition. Responses leave it as bytes. */
export type Method<I, O> = Pick<MethodDefinition<I, O>, "path" | "responseSerialize">

export interface AdapterOptions {
  /** Bytes; a larger response becomes a failure with a log line. Unary and each message of a stream. */
  readonly maxResponseBytes: number
}

export interface Adapter<R> {
  readonly unary: <I, O>(method: Method<I, O>, handler: UnaryHandler<I, O, R>) => handleUnaryCall<I, Buffer>
  readonly stream: <I, O>(method: Method<I, O>, handler: StreamHandler<I, O, R>) => handleServerStreamingCall<I, Buffer>
}

// The kubelet's connect probes do not depend on what there is of pods; who listens to events gets those of the recovery.
const answeredWhileRecovering: ReadonlySet<string> = new Set(["Version", "ImageFsInfo", "GetContainerEvents"])

// A debug line shows this much of a message, in characters.
const maxLoggedMessage = 2048

const shown = (message: unknown): string => {
  const json = JSON.stringify(redactMessage(message))
  return json.length > maxLoggedMessage ? `${json.slice(0, maxLoggedMessage)}…` : json
}

const seconds = (elapsed: Duration.Duration): string => `${Duration.toSeconds(elapsed).toFixed(3)}s`

const traceParent = (metadata: Metadata) => {
  const [traceparent] = metadata.get("traceparent")
  return typeof traceparent === "string"
    ? Option.getOrUndefined(HttpTraceContext.w3c(Headers.fromInput({ traceparent })))
    : undefined
}

/** Writes one message and waits until the connection has taken it: a slow reader holds up its own stream only. */
const write = (call: { write(chunk: Buffer, written: () => void): unknown }, bytes: Buffer): Effect.Effect<void> =>
  Effect.callback((resume) => {
    call.write(bytes, () => resume(Effect.void))
  })

const encode = <I, O>(method: Method<I, O>, response: O | Encoded, limit: number) =>
  Effect.suspend(() => {
    // The writer replaces lone surrogates, so every string on the wire is valid UTF-8: Go clients reject all else.
    const bytes = response instanceof Encoded ? response.bytes : method.responseSerialize(response)
    return bytes.length > limit
      ? Effect.fail(new ResponseTooLarge({ size: bytes.length, limit }))
      : Effect.succeed(bytes)
  })

const logFailure = (operation: string, cause: Cause.Cause<RpcError>, elapsed: Duration.Duration) => {
  const status = statusOf(cause)
  const facts = { code: status.name, duration: seconds(elapsed) }
  const error = Cause.findErrorOption(cause)
  if (Option.isSome(error)) {
    const [message = status.details, ...below] = causeChain(error.value)
    return Effect.logWarning(`${operation} failed: ${message}`).pipe(
      Effect.annotateLogs(below.length === 0 ? facts : { ...facts, cause: below.join(": ") })
    )
  }
  if (Cause.hasInterruptsOnly(cause)) {
    return Effect.logWarning(`${operation} was cancelled`).pipe(Effect.annotateLogs(facts))
  }
  return Effect.logError(`${operation} failed by a defect`, cause).pipe(Effect.annotateLogs(facts))
}

interface Answer {
  readonly response: unknown
  readonly bytes: Buffer
}

const describe = (answer: Answer | void): Record<string, string> => {
  if (answer === undefined) return {}
  return { response: answer.response instanceof Encoded ? `${answer.bytes.length} bytes` : shown(answer.response) }
}

/** Everything around one call. A stream has sent its messages by the time that `call` succeeds. */
const instrument = (method: Method<never, never>, streaming: boolean) => {
  const path = method.path.slice(1)
  const operation = path.slice(path.indexOf("/") + 1)
  const count = makeRpcMetrics(operation)

  const ready = answeredWhileRecovering.has(operation)
    ? Effect.void
    : Effect.gen(function* () {
        const readiness = yield* Readiness
        if (!(yield* readiness.isReady)) return yield* new StillRecovering()
      })

  const record = Effect.fnUntraced(function* (exit: Exit.Exit<Answer | void, RpcError>, elapsed: Duration.Duration) {
    // Streams that watch have no end of their own: a client that leaves one has not failed.
    const left = streaming && Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
    yield* count(elapsed, Exit.isFailure(exit) && !left)
    if (Exit.isFailure(exit) && !left) return yield* logFailure(operation, exit.cause, elapsed)
    if (!(yield* LogLevel.isEnabled("Debug"))) return
    yield* Effect.logDebug(left ? `${operation} left by its client` : `${operation} answered`).pipe(
      Effect.annotateLogs({ duration: seconds(elapsed), ...(Exit.isSuccess(exit) ? describe(exit.value) : {}) })
    )
  })

  return <A extends Answer | void, R>(request: unknown, metadata: Metadata, call: Effect.Effect<A, RpcError, R>) =>
    Effect.gen(function* () {
      const started = yield* Clock.monotonicTimeNanos
      if (yield* LogLevel.isEnabled("Debug")) {
        yield* Effect.logDebug(`${operation} called`).pipe(Effect.annotateLogs({ request: shown(request) }))
      }
      return yield* ready.pipe(
        Effect.andThen(call),
        Effect.onExit((exit) =>
          Effect.flatMap(Clock.monotonicTimeNanos, (now) => record(exit, Duration.nanos(now - started)))
        )
      )
    }).pipe(
      Effect.annotateLogs({ rpc: operation, ...requestIds(request) }),
      Effect.withSpan(
        path,
        { kind: "server", parent: traceParent(metadata), attributes: { "rpc.system": "grpc", ...requestIds(request) } },
        { captureStackTrace: false }
      )
    )
}

/**
 * Each span adds two services to the context of a call, and after so many additions Effect copies the whole of it: all
 * services of the daemon, at every span further down.
 */
const maxDepth = 32

/** Calls that run belong to the scope. The transport, which is made after this, closes before it and lets them finish. */
export const makeAdapter = Effect.fnUntraced(function* <R>(
  options: AdapterOptions
): Effect.fn.Return<Adapter<R>, never, R | Readiness | Scope.Scope> {
  const context = yield* Effect.context<R | Readiness | Scope.Scope>()
  // A scope of its own, so that calls end at this place in the order of closing and not at that of their arrival.
  const scope = yield* Scope.fork(Context.get(context, Scope.Scope))
  const fork = Effect.runForkWith(Context.makeUnsafe<R | Readiness | Scope.Scope>(context.mapUnsafe, { maxDepth }))

  const run = <A>(
    call: Pick<ServerUnaryCall<unknown, unknown>, "cancelled" | "once">,
    effect: Effect.Effect<A, RpcError, R | Readiness>
  ) => {
    const fiber = Fiber.runIn(fork(effect), scope)
    // Also emitted when the client's deadline passes, and harmlessly after a normal end.
    call.once("cancelled", () => fiber.interruptUnsafe())
    if (call.cancelled) fiber.interruptUnsafe()
    return fiber
  }

  return {
    unary: (method, handler) => {
      const instrumented = instrument(method, false)
      return (call, callback) => {
        const answer = Effect.suspend(() => handler(call.request)).pipe(
          Effect.flatMap((response) =>
            Effect.map(encode(method, response, options.maxResponseBytes), (bytes) => ({ response, bytes }))
          )
        )
        run(call, instrumented(call.request, call.metadata, answer)).addObserver((exit) =>
          Exit.isSuccess(exit) ? callback(null, exit.value.bytes) : callback(statusOf(exit.cause))
        )
      }
    },
    stream: (method, handler) => {
      const instrumented = instrument(method, true)
      return (call) => {
        const messages = Stream.suspend(() => handler(call.request)).pipe(
          Stream.runForEach((message) =>
            Effect.flatMap(encode(method, message, options.maxResponseBytes), (bytes) => write(call, bytes))
          )
        )
        run(call, instrumented(call.request, call.metadata, messages)).addObserver((exit) => {
          if (Exit.isSuccess(exit)) call.end()
          else call.emit("error", statusOf(exit.cause))
        })
      }
    }
  }
})
