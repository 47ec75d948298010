/** ExecSync, and the requests for streams. */
import * as fc from "fast-check"
import { Effect } from "effect"
import { type ExecSyncResponse } from "../../gen/runtime/v1/api.ts"
import type { RpcName } from "../Cri.ts"
import type { LinuxError } from "../../linux/LinuxError.ts"
import type { Violation } from "../HarnessError.ts"
import { eventually } from "../internal/eventually.ts"
import { commandLine, processesOfContainer } from "../internal/ownProcesses.ts"
import { nameOf } from "../internal/requests.ts"
import { type ContainerModel, is, liveContainers, pick, runningContainers } from "../Model.ts"
import {
  answered,
  describe,
  numberOf,
  type Operation,
  type Outcome,
  type Parameters,
  type Services,
  type Site,
  valueOf
} from "../Operation.ts"

interface Command {
  readonly name: string
  readonly cmd: ReadonlyArray<string>
  /** Seconds; 0 is without end. */
  readonly timeout: number
  readonly check: (
    site: Site,
    container: ContainerModel,
    outcome: Outcome
  ) => Effect.Effect<void, Violation | LinuxError, Services>
}

const answers = (exitCode: number, stdout: string | number, stderr: string) => (): Command["check"] =>
  Effect.fnUntraced(function* ({ judge }, container, outcome) {
    const says = () => `ExecSync in ${nameOf(container)}: ${describe(outcome)}`
    if (!answered(outcome)) return void (yield* judge.hold("exec.code", false, says))
    const response = valueOf<ExecSyncResponse>(outcome)
    const detail = () => `ExecSync in ${nameOf(container)} gave ${response.exitCode}, not ${exitCode}`
    yield* judge.hold("exec.code", response.exitCode === exitCode, detail)
    const out = Buffer.from(response.stdout).toString("latin1")
    const err = Buffer.from(response.stderr).toString("latin1")
    const isRight = (typeof stdout === "string" ? out === stdout : out.length === stdout) && err === stderr
    yield* judge.hold(
      "exec.output",
      isRight,
      () =>
        `ExecSync in ${nameOf(container)} gave ${out.length} bytes ${JSON.stringify(out.slice(0, 60))} and ${JSON.stringify(err.slice(0, 60))}`
    )
  })

/** Nothing else on the machine sleeps that long. */
const sleepOf = (container: ContainerModel, number: number) =>
  `7${container.key.replaceAll(/\D/g, "").slice(-6).padStart(6, "1")}${number}`

const timesOut =
  (seconds: number, duration: (container: ContainerModel) => string): Command["check"] =>
  (site, container, outcome) =>
    Effect.gen(function* () {
      const { judge, target } = site
      const { settle } = target.profile.limits
      const isTimeout = outcome._tag === "Failed" && outcome.code === "DEADLINE_EXCEEDED"
      const inTime = outcome.tookMs >= seconds * 900 && outcome.tookMs <= (seconds + settle) * 1000
      yield* judge.hold(
        "exec.timeout",
        isTimeout && inTime,
        () => `ExecSync with ${seconds} s in ${nameOf(container)} took ${outcome.tookMs} ms: ${describe(outcome)}`
      )
      const sleeping = Effect.gen(function* () {
        const found: Array<string> = []
        for (const { pid } of yield* processesOfContainer(container.id)) {
          const line = yield* commandLine(pid)
          if (line.includes(duration(container))) found.push(`${line.trim()} (${pid})`)
        }
        return found
      })
      const left = yield* eventually(settle, sleeping, (found) => found.length === 0)
      const says = () => `after the timeout of ExecSync in ${nameOf(container)}: ${left.join(", ")}`
      yield* judge.hold("exec.timeout.processes", left.length === 0, says)
    })

const longOutput = 300_000

const writesMuch = (name: string, bytes: number): Command => ({
  name,
  cmd: ["sh", "-c", `head -c ${bytes} /dev/zero | tr '\\0' x`],
  timeout: 20,
  check: answers(0, bytes, "")()
})

const commandsFor = (container: ContainerModel, number: number): ReadonlyArray<Command> => {
  const duration = (one: ContainerModel) => sleepOf(one, number)
  const sleep = `sleep ${duration(container)}`
  return [
    { name: "echo", cmd: ["echo", "hello"], timeout: 10, check: answers(0, "hello\n", "")() },
    {
      name: "both outputs, code 7",
      cmd: ["sh", "-c", "echo out; echo err >&2; exit 7"],
      timeout: 0,
      check: answers(7, "out\n", "err\n")()
    },
    writesMuch("long output", longOutput),
    { name: "killed", cmd: ["sh", "-c", "kill -9 $$"], timeout: 10, check: answers(137, "", "")() },
    { name: "timeout", cmd: ["sh", "-c", sleep], timeout: 1, check: timesOut(1, duration) },
    {
      name: "timeout with children",
      cmd: ["sh", "-c", `setsid ${sleep} & ${sleep} & ${sleep}`],
      timeout: 1,
      check: timesOut(1, duration)
    },
    writesMuch("1 MiB of output", 1 << 20)
  ]
}

const exec: Operation = {
  name: "Exec",
  group: "exec",
  weight: 9,
  parameters: fc.record({ container: fc.nat(15), command: fc.nat(8) }),
  prepare: (site, parameters) => {
    const { model, judge, target } = site
    const container = pick(liveContainers(model), numberOf(parameters, "container"))
    if (container === undefined) return undefined
    const commands = commandsFor(container, model.count++)
    const number = numberOf(parameters, "command")
    const command = commands[number < commands.length ? number : 0]
    if (command === undefined) return undefined
    const runs = runningContainers(model).includes(container)
    const doesNotRun = is(container, "created") || is(container, "exited")
    const { cmd, timeout, name } = command
    return {
      label: `ExecSync ${name} in ${nameOf(container)}`,
      touches: () => [{ object: container }],
      mayTakeMs: timeout * 1000,
      ask: target.cri.call(
        "execSync",
        { containerId: container.id, cmd: [...cmd], timeout: BigInt(timeout) },
        { deadlineMs: (target.profile.limits.rpc + timeout) * 1000 }
      ),
      check: Effect.fnUntraced(function* (outcome, { contended }) {
        if (outcome._tag === "Unknown" || contended) return
        if (runs) return yield* command.check(site, container, outcome)
        if (doesNotRun) {
          const says = () => `ExecSync in ${nameOf(container)}, which is ${[...container.states]}: ${describe(outcome)}`
          yield* judge.hold("exec.state", !answered(outcome), says)
        }
      })
    }
  }
}

const onContainer = fc.record({ container: fc.nat(15) })

/** Answers with an address; opening it is a client's matter. */
const url = (name: string, rpc: RpcName, ask: (site: Site, container: ContainerModel) => ReturnType<typeof askUrl>) => {
  const operation: Operation = {
    name,
    group: "streams",
    weight: 1,
    needs: [rpc],
    parameters: onContainer,
    prepare: (site: Site, parameters: Parameters) => {
      const container = pick(runningContainers(site.model), numberOf(parameters, "container"))
      if (container === undefined) return undefined
      return {
        label: `${name} of ${nameOf(container)}`,
        touches: () => [{ object: container }],
        ask: ask(site, container),
        check: Effect.fnUntraced(function* (outcome, { contended }) {
          if (outcome._tag === "Unknown" || contended) return
          const isUrl = answered(outcome) && /^https?:\/\/./.test(valueOf<{ url: string }>(outcome).url)
          yield* site.judge.hold("stream.url", isUrl, () => `${name} of ${nameOf(container)}: ${describe(outcome)}`)
        })
      }
    }
  }
  return operation
}

const askUrl = (site: Site, rpc: "exec" | "attach", containerId: string) =>
  rpc === "exec"
    ? site.target.cri.call("exec", { containerId, cmd: ["true"], tty: false, stdin: false, stdout: true, stderr: true })
    : site.target.cri.call("attach", { containerId, tty: false, stdin: false, stdout: true, stderr: true })

export const execOperations: ReadonlyArray<Operation> = [
  exec,
  url("ExecUrl", "exec", (site, { id }) => askUrl(site, "exec", id)),
  url("AttachUrl", "attach", (site, { id }) => askUrl(site, "attach", id)),
  url("PortForwardUrl", "portForward", ({ target }, { pod }) =>
    target.cri.call("portForward", { podSandboxId: pod.id, port: [80] })
  )
]
