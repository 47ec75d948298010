/** Connections to ports of a pod, as its own processes see them. */
import { Effect, type Scope } from "effect"
import { type Connection, Sockets } from "../linux/Sockets.ts"
import type { LinuxError } from "../linux/LinuxError.ts"
import { findPod } from "./lookup.ts"
import { DialFailed, WrongState } from "./PodError.ts"
import { podNamespaces } from "./podPlan.ts"
import { PodSettings } from "./PodSettings.ts"

/** In this order, one after the other: most programs listen on the first, or on both. */
const addresses = ["127.0.0.1", "::1"] as const

/** Loopback answers at once, unless the program's queue of connections is full. */
const limit = "10 seconds"

/** Nobody is there, as opposed to a failure of the host. */
const isRefusal = ({ code }: LinuxError) =>
  ["ECONNREFUSED", "EADDRNOTAVAIL", "ENETUNREACH", "EAFNOSUPPORT"].includes(code)

/** The pod, if it is there to be connected to. */
export const checkReachable = Effect.fn("checkReachable")(function* (podId: string) {
  const pod = yield* findPod(podId)
  if (pod.state._tag === "Ready") return pod
  const object = `pod sandbox ${pod.id}`
  return yield* new WrongState({ object, action: "forward a port to", reason: `it is ${pod.state._tag}` })
})

/**
 * A TCP connection made inside the pod's network namespace, on the host for a pod of the host's network. Closed with its
 * scope.
 */
export const dialPod = Effect.fn("dialPod")(function* (podId: string, port: number) {
  const sockets = yield* Sockets
  const { namespacesDirectory } = yield* PodSettings
  const pod = yield* checkReachable(podId)
  const failed = (reason: string, cause?: LinuxError) =>
    new DialFailed({ podId: pod.id, port, reason, ...(cause === undefined ? {} : { cause }) })
  if (!Number.isInteger(port) || port < 1 || port > 65_535) return yield* failed("a port is a number from 1 to 65535")
  const namespace = podNamespaces(namespacesDirectory, pod).find(({ kind }) => kind === "net")?.path

  const dial = (address: (typeof addresses)[number]) => sockets.dial({ namespace, address, port })
  const [first, second] = addresses
  const connection: Effect.Effect<Connection, LinuxError, Scope.Scope> = Effect.catchIf(dial(first), isRefusal, () =>
    dial(second)
  )
  return yield* connection.pipe(
    Effect.mapError((cause) => {
      if (!isRefusal(cause)) return failed(cause.message, cause)
      const where = namespace === undefined ? "on the host" : "in its network namespace"
      return failed(`connection refused: nothing listens on ${first}:${port} or [${second}]:${port} ${where}`, cause)
    }),
    Effect.timeoutOrElse({ duration: limit, orElse: () => Effect.fail(failed(`no answer within ${limit}`)) })
  )
})
