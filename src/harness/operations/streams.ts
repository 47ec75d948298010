/** Exec as a client sees it that opens the address: output, status, stdin, and what is left when it goes away. */
import * as fc from "fast-check"
import { Effect } from "effect"
import { daemonState } from "../HostState.ts"
import { eventually } from "../internal/eventually.ts"
import { commandLine, processesOfContainer } from "../internal/ownProcesses.ts"
import { nameOf } from "../internal/requests.ts"
import { type ContainerModel, is, liveContainers, pick, runningContainers } from "../Model.ts"
import { answered, describe, numberOf, type Operation, type Site, valueOf } from "../Operation.ts"
import { channels, type CommandStatus, type OpenStream, openStream, statusOf } from "../StreamClient.ts"
import type { Target } from "../Target.ts"

interface Shape {
  readonly cmd: ReadonlyArray<string>
  readonly tty?: boolean
  /** Written at once; then stdin is closed where the protocol can say so. */
  readonly stdin?: string
}

const execUrl = ({ cri }: Target, containerId: string, { cmd, tty = false, stdin }: Shape) =>
  Effect.map(
    cri.call("exec", {
      containerId,
      cmd: [...cmd],
      tty,
      stdin: stdin !== undefined,
      stdout: true,
      stderr: !tty
    }),
    ({ url }) => url
  )

interface Ended {
  readonly status: CommandStatus
  readonly version: number
  readonly stdout: string
  readonly stderr: string
}

const textOn = ({ received }: OpenStream, channel: number) => received(channel).toString("latin1")

/** To the end of the command. */
const runToEnd = Effect.fnUntraced(function* (target: Target, url: string, { stdin, tty }: Shape) {
  const stream = yield* openStream(target, "Exec", url, "command")
  if (tty === true) yield* stream.send(channels.resize, Buffer.from('{"Width":91,"Height":27}'))
  if (stdin !== undefined) {
    yield* stream.send(channels.stdin, Buffer.from(stdin))
    yield* stream.endChannel(channels.stdin)
  }
  yield* stream.end
  const ended: Ended = {
    status: statusOf(stream),
    version: stream.version,
    stdout: textOn(stream, channels.stdout),
    stderr: textOn(stream, channels.stderr)
  }
  return ended
}, Effect.scoped)

const lines = (count: number) => Array.from({ length: count }, (_, index) => `line ${index + 1}\n`).join("")
const manyLines = 20_000
const written = lines(4000)

interface Command extends Shape {
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
    stdout === command.stdout && stderr === command.stderr,
    () => `${label} gave ${differs(stdout, command.stdout)} and ${differs(stderr, command.stderr)} of errors`
  )
})

const execStream: Operation = {
  name: "ExecStream",
  group: "streams",
  weight: 4,
  needs: ["exec"],
  parameters: fc.record({ container: fc.nat(15), command: fc.nat(commands.length - 1) }),
  prepare: (site, parameters) => {
    const { model, judge, target } = site
    const container = pick(liveContainers(model), numberOf(parameters, "container"))
    const command = pick(commands, numberOf(parameters, "command"))
    if (container === undefined || command === undefined) return undefined
    const runs = runningContainers(model).includes(container)
    const doesNotRun = is(container, "created") || is(container, "exited")
    const label = `Exec ${command.name} in ${nameOf(container)}`
    return {
      label,
      touches: () => [{ object: container }],
      mayTakeMs: target.profile.limits.rpc * 1000,
      ask: Effect.flatMap(execUrl(target, container.id, command), (url) => runToEnd(target, url, command)),
      compared: (value) => comparedEnd(value as Ended | undefined),
      check: Effect.fnUntraced(function* (outcome, { contended }) {
        if (outcome._tag === "Unknown" || contended) return
        const says = () => `${label}: ${describe(outcome)}`
        if (runs) {
          if (!(yield* judge.hold("stream.open", answered(outcome), says))) return
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
  parameters: fc.record({ container: fc.nat(15) }),
  prepare: (site, parameters) => {
    const { model, judge, target } = site
    const container = pick(runningContainers(model), numberOf(parameters, "container"))
    if (container === undefined) return undefined
    const shape = { cmd: ["sh", "-c", "cat; echo closed; exit 6"], stdin: written }
    const label = `Exec that reads to the end of stdin in ${nameOf(container)}`
    const ask = Effect.gen(function* () {
      const url = yield* execUrl(target, container.id, shape)
      const stream = yield* openStream(target, "Exec", url, "command")
      yield* stream.send(channels.stdin, Buffer.from(shape.stdin))
      yield* stream.until(() => stream.received(channels.stdout).length >= written.length)
      const before = textOn(stream, channels.stdout)
      if (stream.version < 5) return { before, stdout: undefined, status: undefined }
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
        if (!(yield* judge.hold("stream.open", answered(outcome), () => `${label}: ${describe(outcome)}`))) return
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

const descriptorsOf = (target: Target) => Effect.map(daemonState(target), (state) => state?.descriptors)

/** Descriptors that a daemon may open meanwhile for something else. */
const otherDescriptors = 2

const abandonedProcesses = Effect.fnUntraced(function* (container: ContainerModel, marker: string) {
  const found: Array<string> = []
  for (const { pid } of yield* processesOfContainer(container.id)) {
    const line = yield* commandLine(pid)
    if (line.includes(marker)) found.push(`${line.trim()} (${pid})`)
  }
  return found
})

/** Commands that come to an end by themselves, though nobody reads what they write, and nobody is there to write. */
const abandoned = {
  writer: { script: `head -c ${8 << 20} /dev/zero`, stdin: undefined },
  reader: { script: "head -c 1; cat >/dev/null", stdin: "x" }
} as const
const kindsOfAbandoned = ["writer", "reader"] as const

const says = {
  reading: "",
  notReading: ", with output unread"
} as const

/** A runtime may end the command when its client goes, or let it come to its own end. */
const abort: Operation = {
  name: "ExecAbort",
  group: "streams",
  weight: 3,
  needs: ["exec"],
  alone: true,
  parameters: fc.record({ container: fc.nat(15), kibibytes: fc.nat(300), reads: fc.nat(1), kind: fc.nat(2) }),
  prepare: (site, parameters) => {
    const { model, judge, target } = site
    const container = pick(runningContainers(model), numberOf(parameters, "container"))
    if (container === undefined) return undefined
    const { settle } = target.profile.limits
    const marker = `abandoned-${model.prefix}-${++model.count}`
    const kind = pick(kindsOfAbandoned, numberOf(parameters, "kind")) ?? "writer"
    const { script, stdin } = abandoned[kind]
    const enough = kind === "writer" ? numberOf(parameters, "kibibytes") << 10 : 0
    const manner = numberOf(parameters, "reads") === 1 ? "reading" : "notReading"
    const label = `Exec of a ${kind} in ${nameOf(container)}, left after ${enough} bytes${says[manner]}`
    const shape = { cmd: ["sh", "-c", `${script}; : ${marker}`], ...(stdin === undefined ? {} : { stdin }) }
    const open = Effect.gen(function* () {
      const url = yield* execUrl(target, container.id, shape)
      const stream = yield* openStream(target, "Exec", url, "command")
      if (stdin !== undefined) yield* stream.send(channels.stdin, Buffer.from(stdin))
      yield* stream.until(() => stream.received(channels.stdout).length > enough)
      if (manner === "reading") return
      yield* stream.stopReading
      // Until the server has filled what lies between.
      yield* Effect.sleep(100)
    }).pipe(Effect.scoped)
    return {
      label,
      touches: () => [{ object: container }],
      mayTakeMs: (target.profile.limits.rpc + 2 * settle) * 1000,
      ask: Effect.gen(function* () {
        const before = yield* descriptorsOf(target)
        yield* open
        const look = Effect.all({
          processes: abandonedProcesses(container, marker),
          descriptors: descriptorsOf(target)
        })
        const bound = (before ?? 0) + otherDescriptors
        const after = yield* eventually(
          settle,
          look,
          ({ processes, descriptors }) => processes.length === 0 && (descriptors ?? 0) <= bound
        )
        return { before, ...after }
      }),
      compared: () => undefined,
      check: Effect.fnUntraced(function* (outcome) {
        if (!(yield* judge.hold("stream.open", answered(outcome), () => `${label}: ${describe(outcome)}`))) return
        const { before, processes, descriptors } = valueOf<{
          readonly before: number | undefined
          readonly processes: ReadonlyArray<string>
          readonly descriptors: number | undefined
        }>(outcome)
        const lives = () => `${settle} s after ${label}: ${processes.join(", ")}`
        yield* judge.hold("stream.abort-leaves-nothing", processes.length === 0, lives)
        if (before === undefined || descriptors === undefined) return
        yield* judge.hold(
          "stream.abort-leaves-nothing",
          descriptors <= before + otherDescriptors,
          () => `${settle} s after ${label} the daemon has ${descriptors} descriptors; before ${before}`
        )
      })
    }
  }
}

const tokenTwice: Operation = {
  name: "TokenTwice",
  group: "streams",
  weight: 2,
  needs: ["exec"],
  parameters: fc.record({ container: fc.nat(15), together: fc.nat(1) }),
  prepare: (site, parameters) => {
    const { model, judge, target } = site
    const container = pick(runningContainers(model), numberOf(parameters, "container"))
    if (container === undefined) return undefined
    const together = numberOf(parameters, "together") === 1
    const shape = { cmd: ["echo", "once"] }
    const label = `one address of Exec in ${nameOf(container)}, opened twice${together ? " at the same time" : ""}`
    return {
      label,
      touches: () => [{ object: container }],
      mayTakeMs: target.profile.limits.rpc * 2000,
      ask: Effect.gen(function* () {
        const url = yield* execUrl(target, container.id, shape)
        const open = runToEnd(target, url, shape).pipe(
          Effect.match({ onFailure: (failure) => failure.code, onSuccess: ({ stdout }) => stdout })
        )
        const found = yield* Effect.all([open, open], { concurrency: together ? "unbounded" : 1 })
        // One that lost its server has said nothing.
        const lost = found.every((one) => one !== "once\n")
        return lost ? yield* runToEnd(target, url, shape).pipe(Effect.as(found)) : found
      }),
      check: Effect.fnUntraced(function* (outcome, { contended }) {
        if (outcome._tag === "Unknown" || contended) return
        if (!(yield* judge.hold("stream.open", answered(outcome), () => `${label}: ${describe(outcome)}`))) return
        const found = valueOf<ReadonlyArray<string>>(outcome)
        const opened = found.filter((one) => one === "once\n").length
        yield* judge.hold("stream.token-once", opened === 1, () => `${label}: ${JSON.stringify(found)}`)
      })
    }
  }
}

export const streamOperations: ReadonlyArray<Operation> = [execStream, halfClose, abort, tokenTwice]
