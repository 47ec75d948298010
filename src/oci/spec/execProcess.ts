/** The process of an exec: the container's own with another command (CRI ExecSync, Exec). */
import { Result } from "effect"
import type { Process } from "../../model/RuntimeSpec.ts"
import { type Fault, invalid } from "./fault.ts"

/** Every process of an exec inherits this variable, by which they are all found when the exec has to end. */
export const execIdVariable = "CRICKET_EXEC_ID"

export interface ExecProcessInput {
  /** The container's process as its config.json has it. */
  readonly container: Process
  readonly command: ReadonlyArray<string>
  readonly terminal: boolean
  /** Of the terminal from its start, in characters. */
  readonly size?: { readonly width: number; readonly height: number }
  readonly execId: string
}

export const execProcess = (input: ExecProcessInput): Result.Result<Process, Fault> => {
  const { container, command, terminal, size, execId } = input
  if (command.length === 0 || command[0] === "") return invalid("cmd", "is empty")
  if (command.some((argument) => argument.includes("\0"))) return invalid("cmd", "contains a NUL byte")
  const hasTerm = container.env.some((entry) => entry.startsWith("TERM="))
  return Result.succeed({
    ...container,
    terminal,
    ...(terminal && size !== undefined && { consoleSize: { height: size.height, width: size.width } }),
    args: [...command],
    env: [...container.env, ...(terminal && !hasTerm ? ["TERM=xterm"] : []), `${execIdVariable}=${execId}`]
  })
}
