/** Clients that stream as kubelet's do: a URL from the CRI, then channels in a WebSocket. */
import { Effect, Schedule } from "effect"
import { handlers } from "../../../src/cri/handlers.ts"
import { openWebSocket, type SimulatedClient } from "../../world/layers/streaming.ts"
import { mustEqual, type WorldOf } from "./contract.ts"
import type { Kubelet } from "./kubelet.ts"

const { runtime } = handlers

/** A message on a channel. */
const on = (channel: number, text: string): Uint8Array => Buffer.concat([Uint8Array.of(channel), Buffer.from(text)])

const closeStdin = Uint8Array.of(255, 0)

const textOf = ({ messages }: SimulatedClient, channel: number): string =>
  messages
    .filter((message): message is Uint8Array => typeof message !== "string" && message[0] === channel)
    .map((message) => Buffer.from(message.subarray(1)).toString())
    .join("")

/** Until it is there; what the daemon does takes a while. */
const eventually = (what: string, check: () => boolean) =>
  Effect.suspend(() => (check() ? Effect.void : Effect.fail(new Error(`never: ${what}`)))).pipe(
    Effect.retry({ times: 200, schedule: Schedule.spaced("50 millis") })
  )

const shape = { stdin: true, stdout: true, stderr: true, tty: false }

const lostInput = (worldOf: WorldOf): boolean => worldOf().calls.struck?.operation === "write"

export const exec = (kubelet: Kubelet, worldOf: WorldOf) =>
  Effect.gen(function* () {
    const cmd = ["sh", "-c", "cat; exit 3"]
    const { url } = yield* runtime.Exec({ containerId: kubelet.containerId, cmd, ...shape })
    const client = yield* openWebSocket(url, "v5.channel.k8s.io")
    yield* client.send(on(0, "through a client"))
    yield* client.send(closeStdin)
    yield* mustEqual("the code of the close", String(yield* client.closed), "1000")
    const status = JSON.parse(textOf(client, 3))
    if (status.reason !== "NonZeroExitCode") return yield* Effect.fail(new Error(status.message))
    yield* mustEqual("the exit code", status.details.causes[0].message, "3")
    // A command that does not read its input, or has none left, is no failure of the exec.
    if (lostInput(worldOf)) return
    yield* mustEqual("the output", textOf(client, 1), "through a client")
  }).pipe(Effect.scoped)

/** The command has come to its end, not to its client's, when nothing is streamed any more. */
export const execThatIsLeft = (kubelet: Kubelet) =>
  Effect.gen(function* () {
    const cmd = ["sh", "-c", "cat; sleep 1; echo nobody hears this"]
    const { url } = yield* runtime.Exec({ containerId: kubelet.containerId, cmd, ...shape })
    const client = yield* openWebSocket(url, "v5.channel.k8s.io")
    yield* client.send(on(0, "x"))
    yield* eventually("it answers", () => textOf(client, 1) === "x")
    yield* client.leave
    yield* mustEqual("the code of the close", String(yield* client.closed), "1000")
  }).pipe(Effect.scoped)

export const attach = (kubelet: Kubelet) =>
  Effect.gen(function* () {
    const { url } = yield* runtime.Attach({ containerId: kubelet.containerId, ...shape })
    const client = yield* openWebSocket(url, "v4.channel.k8s.io")
    yield* client.send(on(0, "to the container"))
    yield* eventually("it answers", () => textOf(client, 1).includes("to the container"))
    yield* client.leave
  }).pipe(Effect.scoped)

export const forward = (kubelet: Kubelet) =>
  Effect.gen(function* () {
    const { url } = yield* runtime.PortForward({ podSandboxId: kubelet.podId, port: [80, 81] })
    const client = yield* openWebSocket(url, "v4.channel.k8s.io")
    yield* client.send(on(0, "to the port"))
    yield* eventually("it answers", () => textOf(client, 0).endsWith("to the port"))
    yield* eventually("the other port is refused", () => textOf(client, 3).includes("connection refused"))
    yield* client.leave
  }).pipe(Effect.scoped)
