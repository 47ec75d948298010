/** Commands by the addresses that Exec answers. */
import { Effect } from "effect"
import { channels, type CommandStatus, type OpenStream, openStream, statusOf } from "../StreamClient.ts"
import type { Target } from "../Target.ts"

export interface CommandShape {
  readonly cmd: ReadonlyArray<string>
  readonly tty?: boolean
  /** Written at once; then stdin is closed where the protocol can say so. */
  readonly stdin?: string
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
export const runToEnd = Effect.fnUntraced(function* (target: Target, url: string, { stdin, tty }: CommandShape) {
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
