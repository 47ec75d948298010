/** A client at the streams of a running container: exec with and without a terminal, attach, a port of the pod. */
import { Effect, Fiber, Stream } from "effect"
import type { LinuxError } from "../../../src/linux/LinuxError.ts"
import { attachToContainer } from "../../../src/pod/attach.ts"
import { dialPod } from "../../../src/pod/dial.ts"
import { execInContainer } from "../../../src/pod/exec.ts"
import { mustEqual, type WorldOf } from "./contract.ts"
import type { Kubelet } from "./kubelet.ts"

/** Serves port 80 of one address, port 6 of the other, and its standard input: all answer what they are told. */
export const answering: ReadonlyArray<string> = [
  "sh",
  "-c",
  "trap 'echo bye; exit 0' TERM; echo hello; nc -l -p 80 -e cat & nc -l -s ::1 -p 6 -e cat & cat; sleep 3600"
]

const bytes = (text: string) => Buffer.from(text)

/** What comes until a text is in it; the end without it is shown as it is. */
const until = (stream: Stream.Stream<Uint8Array, LinuxError>, wanted: string) =>
  stream.pipe(
    Stream.decodeText(),
    Stream.mapAccum(
      () => "",
      (before, text) => [before + text, [before + text]] as const
    ),
    Stream.takeUntil((text) => text.includes(wanted)),
    Stream.runFold(
      () => "",
      (_, text) => text
    )
  )

export const exec = (kubelet: Kubelet) =>
  Effect.gen(function* () {
    const { containerId } = kubelet
    const command = ["sh", "-c", "cat; exit 3"]
    const running = yield* execInContainer({ containerId, command, terminal: false, stdin: true })
    const said = yield* Effect.forkChild(until(running.stdout, "\0"), { startImmediately: true })
    const complained = yield* Effect.forkChild(until(running.stderr, "\0"), { startImmediately: true })
    yield* running.write(bytes("through exec"))
    yield* running.closeStdin
    yield* mustEqual("the exit code", String(yield* running.exit), "3")
    yield* mustEqual("the output", yield* Fiber.join(said), "through exec")
    yield* mustEqual("the other output", yield* Fiber.join(complained), "")
  }).pipe(Effect.scoped)

export const execOnTerminal = (kubelet: Kubelet, worldOf: WorldOf) =>
  Effect.gen(function* () {
    const { containerId } = kubelet
    const command = ["sh", "-c", "stty size; line; stty size; exit 4"]
    const size = { width: 80, height: 25 }
    const running = yield* execInContainer({ containerId, command, terminal: true, stdin: true, size })
    const said = yield* Effect.forkChild(until(running.stdout, "\0"), { startImmediately: true })
    yield* Effect.sleep(10)
    yield* running.resize({ width: 100, height: 50 })
    yield* running.write(bytes("line\n"))
    yield* mustEqual("the exit code", String(yield* running.exit), "4")
    const output = yield* Fiber.join(said)
    // A size that the terminal does not take is no failure of the exec.
    const refused = worldOf().calls.struck?.operation === "resize" && output.endsWith("\n25 80\n")
    yield* mustEqual("the terminal's output", output, `25 80\nline\n${refused ? "25 80" : "50 100"}\n`)
  }).pipe(Effect.scoped)

/** A command that would never end goes with the client. */
export const abandon = (kubelet: Kubelet) =>
  Effect.gen(function* () {
    const { containerId } = kubelet
    for (const terminal of [false, true]) {
      const command = ["sh", "-c", "sleep 5000 & sleep 5001"]
      yield* Effect.scoped(
        Effect.andThen(execInContainer({ containerId, command, terminal, stdin: false }), Effect.sleep(20))
      )
    }
  })

export const attach = (kubelet: Kubelet) =>
  Effect.gen(function* () {
    const { containerId } = kubelet
    for (const word of ["once", "again"]) {
      yield* Effect.gen(function* () {
        const attached = yield* attachToContainer({ containerId, stdin: true, stdout: true, stderr: true })
        const said = yield* Effect.forkChild(until(attached.stdout, word), { startImmediately: true })
        yield* attached.write(bytes(word))
        yield* mustEqual("the container's answer", yield* Fiber.join(said), word)
      }).pipe(Effect.scoped)
    }
  })

const dialOne = (kubelet: Kubelet, port: number) =>
  Effect.gen(function* () {
    const connection = yield* dialPod(kubelet.podId, port)
    const said = yield* Effect.forkChild(until(connection.incoming, "\0"), { startImmediately: true })
    yield* connection.write(bytes("through the port"))
    yield* connection.endWrite
    yield* mustEqual("the port's answer", yield* Fiber.join(said), "through the port")
  }).pipe(Effect.scoped)

export const dial = (kubelet: Kubelet) =>
  Effect.gen(function* () {
    yield* dialOne(kubelet, 80)
    yield* dialOne(kubelet, 6)
    const { message } = yield* Effect.flip(Effect.scoped(dialPod(kubelet.podId, 81)))
    if (!message.includes("connection refused")) return yield* Effect.fail(new Error(message))
  })
