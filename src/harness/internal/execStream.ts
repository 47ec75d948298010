/** Commands by the addresses that Exec answers. */
import { Effect } from "effect"
import { numberOf, type Parameters } from "../Operation.ts"
import { channels, commandStreams, type CommandStatus, type OpenStream, openStream, statusOf } from "../StreamClient.ts"
import type { Target } from "../Target.ts"

export interface CommandShape {
  readonly cmd: ReadonlyArray<string>
  readonly tty?: boolean
  /** Written at once; then stdin is closed where the protocol can say so. */
  readonly stdin?: string
}

/** How a client comes: by a WebSocket, as kubectl does since 1.31, or over SPDY, as before and as kubelet itself does. */
export interface Transport {
  readonly isSpdy: boolean
  /** For labels. */
  readonly says: string
  /** That of an address that can be opened so. */
  readonly rule: "stream.open" | "stream.spdy"
}

const webSocket: Transport = { isSpdy: false, says: "", rule: "stream.open" }
const spdy: Transport = { isSpdy: true, says: " over SPDY", rule: "stream.spdy" }

export const transportOf = (parameters: Parameters): Transport =>
  numberOf(parameters, "spdy") === 1 ? spdy : webSocket

export const openCommand = (
  target: Target,
  rpc: "Exec" | "Attach",
  url: string,
  { stdin, tty = false }: { readonly stdin?: string | boolean; readonly tty?: boolean },
  { isSpdy }: Transport
) => {
  const hasStdin = stdin !== undefined && stdin !== false
  return openStream(target, rpc, url, "command", isSpdy ? commandStreams({ stdin: hasStdin, tty }) : undefined)
}

export const execUrl = ({ cri }: Target, containerId: string, { cmd, tty = false, stdin }: CommandShape) =>
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

export interface Ended {
  readonly status: CommandStatus
  readonly version: number
  readonly stdout: string
  readonly stderr: string
}

export const textOn = ({ received }: OpenStream, channel: number) => received(channel).toString("latin1")

/** Opens the address and stays to the end of the command. */
export const runToEnd = Effect.fnUntraced(function* (
  target: Target,
  url: string,
  shape: CommandShape,
  transport: Transport
) {
  const { stdin, tty } = shape
  const stream = yield* openCommand(target, "Exec", url, shape, transport)
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
