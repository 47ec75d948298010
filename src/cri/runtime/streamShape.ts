/** What Exec and Attach demand of the streams that are asked for, alike. */
import { Effect } from "effect"
import { InvalidRequest } from "../../pod/PodError.ts"
import type { SessionShape } from "../../streaming/Session.ts"

interface StreamFields {
  readonly containerId: string
  readonly stdin: boolean
  readonly stdout: boolean
  readonly stderr: boolean
  readonly tty: boolean
}

const invalid = (field: string, reason: string) => Effect.fail(new InvalidRequest({ field, reason }))

export const streamShape = ({
  containerId,
  stdin,
  stdout,
  stderr,
  tty
}: StreamFields): Effect.Effect<SessionShape, InvalidRequest> => {
  if (containerId === "") return invalid("container_id", "it is missing")
  if (tty && stderr) return invalid("stderr", "tty and stderr cannot both be true: a terminal has one output")
  if (!stdin && !stdout && !stderr) return invalid("stdin", "one of stdin, stdout or stderr must be true")
  return Effect.succeed({ stdin, stdout, stderr, terminal: tty })
}
