/** Exec as a client sees it that opens the address: output, status, and stdin. */
import * as fc from "fast-check"
import { Effect } from "effect"
import {
  type CommandShape,
  type Ended,
  execUrl,
  openCommand,
  runToEnd,
  textOn,
  transportOf
} from "../internal/execStream.ts"
import { nameOf } from "../internal/requests.ts"
import { is, liveContainers, pick, runningContainers } from "../Model.ts"
import { answered, describe, numberOf, type Operation, type Site, valueOf } from "../Operation.ts"
import { channels, statusOf } from "../StreamClient.ts"

const lines = (count: number) => Array.from({ length: count }, (_, index) => `line ${index + 1}\n`).join("")
const manyLines = 20_000
const written = lines(4000)

interface Command extends CommandShape {
  readonly name: string
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

const writing = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo line $i; done"

const commands: ReadonlyArray<Command> = [
  {
    name: "both outputs, code 7",
    cmd: ["sh", "-c", "echo out; echo err >&2; exit 7"],
    code: 7,
    stdout: "out\n",
    stderr: "err\n"
  },
  { name: "20,000 lines", cmd: ["sh", "-c", writing], code: 0, stdout: lines(manyLines), stderr: "" },
  {
    name: "20,000 lines of errors",
    cmd: ["sh", "-c", `(${writing}) >&2`],
    code: 0,
    stdout: "",
    stderr: lines(manyLines)
  },
  { name: "killed", cmd: ["sh", "-c", "kill -9 $$"], code: 137, stdout: "", stderr: "" },
  {
    name: "terminal",
    cmd: ["sh", "-c", "test -t 0 && test -t 1 && echo terminal; exit 4"],
    tty: true,
    code: 4,
    stdout: "terminal\r\n",
    stderr: ""
  },
  // Ends by itself when it has read what was sent: older protocols cannot close stdin.
  {
    name: "stdin of a known length",
    cmd: ["head", "-c", String(written.length)],
    stdin: written,
    code: 0,
    stdout: written,
    stderr: ""
  },
  { name: "no output", cmd: ["true"], code: 0, stdout: "", stderr: "" }
]

/** Texts of failures and subprotocols are each target's own. */
const comparedEnd = (ended: Ended | undefined) =>
  ended === undefined ? undefined : { code: ended.status.code, stdout: ended.stdout, stderr: ended.stderr }

/** Both the container's terminal and the runtime's may put a carriage return before a line feed: a race in runc, for one. */
const textOf = (command: Command, output: string): string =>
  command.tty === true ? output.replace(/\r+\n/g, "\r\n") : output

const checkEnd = Effect.fnUntraced(function* ({ judge }: Site, label: string, command: Command, ended: Ended) {
  const { status, version, stdout, stderr } = ended
  const isRight = version < 4 && command.code !== 0 ? status.text !== "" : status.code === command.code
  yield* judge.hold(
    "stream.exit-code",
    isRight,
    () => `${label} ended with ${JSON.stringify(status.text)}, not ${command.code}`
  )
  const rule = command.stdin === undefined ? "stream.output-complete" : "stream.stdin"
  const differs = (got: string, wanted: string) =>
    `${got.length} of ${wanted.length} bytes, ${JSON.stringify(got.slice(0, 40))}…${JSON.stringify(got.slice(-40))}`
  yield* judge.hold(
    rule,
    textOf(command, stdout) === command.stdout && stderr === command.stderr,
    () => `${label} gave ${differs(stdout, command.stdout)} and ${differs(stderr, command.stderr)} of errors`
  )
})

const execStream: Operation = {
  name: "ExecStream",
  group: "streams",
  weight: 4,
  needs: ["exec"],
  parameters: fc.record({ container: fc.nat(15), command: fc.nat(commands.length - 1), spdy: fc.nat(1) }),
  prepare: (site, parameters) => {
    const { model, judge, target } = site
    const container = pick(liveContainers(model), numberOf(parameters, "container"))
    const command = pick(commands, numberOf(parameters, "command"))
    if (container === undefined || command === undefined) return undefined
    const runs = runningContainers(model).includes(container)
    const doesNotRun = is(container, "created") || is(container, "exited")
    const transport = transportOf(parameters)
    const label = `Exec${transport.says} ${command.name} in ${nameOf(container)}`
    return {
      label,
      touches: () => [{ object: container }],
      mayTakeMs: target.profile.limits.rpc * 1000,
      ask: Effect.flatMap(execUrl(target, container.id, command), (url) => runToEnd(target, url, command, transport)),
      compared: (value) => comparedEnd(value as Ended | undefined),
      check: Effect.fnUntraced(function* (outcome, { contended }) {
        if (outcome._tag === "Unknown" || contended) return
        const says = () => `${label}: ${describe(outcome)}`
        if (runs) {
          if (!(yield* judge.hold(transport.rule, answered(outcome), says))) return
          return yield* checkEnd(site, label, command, valueOf<Ended>(outcome))
        }
        if (!doesNotRun) return
        const ran = answered(outcome) && valueOf<Ended>(outcome).stdout !== ""
        yield* judge.hold("stream.state", !ran, () => `${label}, which is ${[...container.states]}, gave output`)
      })
    }
  }
}

/** stdin is closed, and what the command writes then is still read. */
const halfClose: Operation = {
  name: "ExecHalfClose",
  group: "streams",
  weight: 2,
  needs: ["exec"],
  parameters: fc.record({ container: fc.nat(15), spdy: fc.nat(1) }),
  prepare: (site, parameters) => {
    const { model, judge, target } = site
    const container = pick(runningContainers(model), numberOf(parameters, "container"))
    if (container === undefined) return undefined
    const shape = { cmd: ["sh", "-c", "cat; echo closed; exit 6"], stdin: written }
    const transport = transportOf(parameters)
    const label = `Exec${transport.says} that reads to the end of stdin in ${nameOf(container)}`
    const ask = Effect.gen(function* () {
      const url = yield* execUrl(target, container.id, shape)
      const stream = yield* openCommand(target, "Exec", url, shape, transport)
      yield* stream.send(channels.stdin, Buffer.from(shape.stdin))
      yield* stream.until(() => stream.received(channels.stdout).length >= written.length)
      const before = textOn(stream, channels.stdout)
      if (!stream.canEnd) return { before, stdout: undefined, status: undefined }
      yield* stream.endChannel(channels.stdin)
      yield* stream.end
      return { before, stdout: textOn(stream, channels.stdout), status: statusOf(stream) }
    }).pipe(Effect.scoped)
    return {
      label,
      touches: () => [{ object: container }],
      mayTakeMs: target.profile.limits.rpc * 1000,
      ask,
      compared: () => undefined,
      check: Effect.fnUntraced(function* (outcome, { contended }) {
        if (outcome._tag === "Unknown" || contended) return
        if (!(yield* judge.hold(transport.rule, answered(outcome), () => `${label}: ${describe(outcome)}`))) return
        const { before, stdout, status } = valueOf<Effect.Success<typeof ask>>(outcome)
        const echo = () => `${label}: ${before.length} of ${written.length} bytes came back`
        yield* judge.hold("stream.stdin", before === written, echo)
        if (stdout === undefined) return
        yield* judge.hold(
          "stream.half-close",
          stdout === `${written}closed\n` && status.code === 6,
          () => `${label}: after it was closed ${JSON.stringify(stdout.slice(written.length))}, ${status.text}`
        )
      })
    }
  }
}

export const streamOperations: ReadonlyArray<Operation> = [execStream, halfClose]
