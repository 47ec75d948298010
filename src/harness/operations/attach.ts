/** Attach as a client sees it that opens the address, reads, writes, and goes away while the container runs on. */
import * as fc from "fast-check"
import { Effect } from "effect"
import { openCommand, transportOf } from "../internal/execStream.ts"
import { nameOf } from "../internal/requests.ts"
import { pick, runningContainers } from "../Model.ts"
import { answered, describe, numberOf, type Operation, valueOf } from "../Operation.ts"
import { channels } from "../StreamClient.ts"

const wholeLines = 3

/** Whole lines from the first one on, each one more than the last. */
const areInOrder = (text: string): boolean => {
  const lines = text.split("\n").slice(0, -1)
  const first = Number(/^line (\d+)$/.exec(lines[0] ?? "")?.[1])
  return lines.length > 0 && lines.every((line, index) => line === `line ${first + index}`)
}

const attach: Operation = {
  name: "AttachStream",
  group: "streams",
  weight: 3,
  needs: ["attach"],
  parameters: fc.record({ container: fc.nat(15), closes: fc.nat(1), spdy: fc.nat(1) }),
  prepare: ({ model, judge, target }, parameters) => {
    const some = runningContainers(model).filter(({ behaviour }) => behaviour === "writes" || behaviour === "echoes")
    const container = pick(some, numberOf(parameters, "container"))
    if (container === undefined) return undefined
    const { id, behaviour } = container
    const echoes = behaviour === "echoes"
    const said = `said ${++model.count}\n`
    const transport = transportOf(parameters)
    const label = `Attach${transport.says} to ${nameOf(container)}, which ${behaviour}`
    return {
      label,
      touches: () => [{ object: container }],
      mayTakeMs: target.profile.limits.rpc * 1000,
      ask: Effect.gen(function* () {
        const { url } = yield* target.cri.call("attach", {
          containerId: id,
          tty: false,
          stdin: echoes,
          stdout: true,
          stderr: true
        })
        const stream = yield* openCommand(target, "Attach", url, { stdin: echoes }, transport)
        const text = () => stream.received(channels.stdout).toString("latin1")
        if (echoes) {
          yield* stream.send(channels.stdin, Buffer.from(said))
          yield* stream.until(() => text().includes(said))
          // stdin stays open for the next client: the container has no stdin_once.
          if (numberOf(parameters, "closes") === 1) yield* stream.endChannel(channels.stdin)
        } else {
          yield* stream.until(() => text().split("\n").length > wholeLines)
        }
        return text()
      }).pipe(Effect.scoped),
      // Where it begins is chance.
      compared: () => undefined,
      check: Effect.fnUntraced(function* (outcome, { contended }) {
        if (outcome._tag === "Unknown" || contended) return
        if (!(yield* judge.hold(transport.rule, answered(outcome), () => `${label}: ${describe(outcome)}`))) return
        const text = valueOf<string>(outcome)
        const isRight = echoes ? text.includes(said) : areInOrder(text)
        yield* judge.hold("stream.attach", isRight, () => `${label} gave ${JSON.stringify(text.slice(0, 200))}`)
      })
    }
  }
}

export const attachOperations: ReadonlyArray<Operation> = [attach]
