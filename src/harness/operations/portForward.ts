/** PortForward to a program in the pod, to a port where nobody listens, and by a client that goes away. */
import * as fc from "fast-check"
import { Effect } from "effect"
import { NamespaceMode } from "../../gen/runtime/v1/api.ts"
import { RpcFailure } from "../Cri.ts"
import { transportOf } from "../internal/execStream.ts"
import { nameOf } from "../internal/requests.ts"
import { type ContainerModel, pick, runningContainers } from "../Model.ts"
import { answered, describe, numberOf, type Operation, type Site, valueOf } from "../Operation.ts"
import { openStream, portChannels, portStreams } from "../StreamClient.ts"

const firstPort = 20_000
const ports = 10_000

/** In /proc/net/tcp. */
const inHex = (port: number) => port.toString(16).toUpperCase().padStart(4, "0")

/** Sends back to one client what it is sent; answers when it listens. */
const startEcho = Effect.fnUntraced(function* ({ target }: Site, { id: containerId }: ContainerModel, port: number) {
  const script = `nc -l -p ${port} -e cat >/dev/null 2>&1 </dev/null &
until grep -q ':${inHex(port)} .* 0A ' /proc/net/tcp /proc/net/tcp6; do sleep 0.02; done`
  const { exitCode, stderr } = yield* target.cri.call("execSync", {
    containerId,
    cmd: ["sh", "-c", script],
    timeout: 10n
  })
  const details = Buffer.from(stderr).toString("utf8")
  if (exitCode !== 0) return yield* new RpcFailure({ rpc: "nc in the container", code: `exit ${exitCode}`, details })
})

const pieceBytes = 16_384
const sent = Buffer.from(Array.from({ length: 20_000 }, (_, index) => `${index}\n`).join(""))

const kinds = ["open", "closed", "left"] as const

const says = {
  open: "to a program that listens",
  closed: "to a port where nobody listens",
  left: "by a client that goes away"
} as const

const portForward: Operation = {
  name: "PortForwardStream",
  group: "streams",
  weight: 3,
  needs: ["portForward"],
  parameters: fc.record({ container: fc.nat(15), kind: fc.nat(kinds.length - 1), spdy: fc.nat(1) }),
  prepare: (site, parameters) => {
    const { model, judge, target } = site
    const some = runningContainers(model).filter(
      ({ pod }) => pod.config.linux?.securityContext?.namespaceOptions?.network !== NamespaceMode.NODE
    )
    const container = pick(some, numberOf(parameters, "container"))
    if (container === undefined) return undefined
    const kind = pick(kinds, numberOf(parameters, "kind")) ?? "open"
    const transport = transportOf(parameters)
    const label = `PortForward${transport.says} into ${nameOf(container.pod)} ${says[kind]}`
    const { settle } = target.profile.limits
    return {
      label,
      touches: () => [{ object: container }, { object: container.pod }],
      mayTakeMs: target.profile.limits.rpc * 1000,
      ask: Effect.gen(function* () {
        // Of each client its own, also of two at the same time: the program serves one.
        const port = firstPort + (++model.count % ports)
        if (kind !== "closed") yield* startEcho(site, container, port)
        const { url } = yield* target.cri.call("portForward", { podSandboxId: container.pod.id, port: [port] })
        const stream = yield* openStream(
          target,
          "PortForward",
          url,
          "ports",
          transport.isSpdy ? portStreams(port) : undefined
        )
        const answer = () => ({
          data: stream.received(portChannels.data),
          error: stream.received(portChannels.error).toString("utf8")
        })
        if (kind === "closed") {
          yield* Effect.timeoutOption(
            stream.until(() => answer().error !== ""),
            settle * 1000
          )
          return answer()
        }
        if (kind === "left") yield* stream.stopReading
        for (let start = 0; start < sent.length; start += pieceBytes) {
          yield* stream.send(portChannels.data, sent.subarray(start, start + pieceBytes))
        }
        if (kind === "open") yield* stream.until(() => answer().data.length >= sent.length || answer().error !== "")
        return answer()
      }).pipe(Effect.scoped),
      compared: () => undefined,
      check: Effect.fnUntraced(function* (outcome, { contended }) {
        if (outcome._tag === "Unknown" || contended || kind === "left") return
        if (!(yield* judge.hold(transport.rule, answered(outcome), () => `${label}: ${describe(outcome)}`))) return
        const found = valueOf<{ readonly data: Buffer; readonly error: string }>(outcome)
        const detail = () =>
          `${label}: ${found.data.length} of ${kind === "open" ? sent.length : 0} bytes came, error ${JSON.stringify(found.error)}`
        if (kind === "open") yield* judge.hold("stream.forward", found.data.equals(sent), detail)
        else yield* judge.hold("stream.forward-refused", found.error !== "" && found.data.length === 0, detail)
      })
    }
  }
}

export const portForwardOperations: ReadonlyArray<Operation> = [portForward]
