/** The process of an exec: the container's own with another command (CRI ExecSync, Exec). */
import { Result } from "effect"
import type { TerminalSize } from "../../linux/Terminal.ts"
import type { Process } from "../../model/RuntimeSpec.ts"
import { type Fault, invalid } from "./fault.ts"

/** Every process of an exec inherits this variable, by which they are all found when the exec has to end. */
export const execIdVariable = "CRICKET_EXEC_ID"

export interface ExecProcessInput {
  /** The container's process as its config.json has it. */
  readonly container: Process
  readonly command: ReadonlyArray<string>
  readonly terminal: boolean
  /** Of the terminal from its start. */
  readonly size?: TerminalSize
  readonly execId: string
  /** The container's processors ("2-3,7") for exec_cpu_affinity "first"; undefined or "" pins to none. */
  readonly pinnedTo?: string | undefined
}

/** The lowest number of a list such as "2-3,7"; undefined for what is none. */
const firstProcessor = (list: string): string | undefined => {
  const numbers = list.split(",").map((range) => /^\s*(\d+)/.exec(range)?.[1])
  const known = numbers.filter((number) => number !== undefined).map(Number)
  return known.length === 0 ? undefined : String(Math.min(...known))
}

export const execProcess = (input: ExecProcessInput): Result.Result<Process, Fault> => {
  const { container, command, terminal, size, execId } = input
  if (command.length === 0 || command[0] === "") return invalid("cmd", "is empty")
  if (command.some((argument) => argument.includes("\0"))) return invalid("cmd", "contains a NUL byte")
  const processor = firstProcessor(input.pinnedTo ?? "")
  const hasTerm = container.env.some((entry) => entry.startsWith("TERM="))
  return Result.succeed({
    ...container,
    terminal,
    ...(terminal && size !== undefined && { consoleSize: { height: size.height, width: size.width } }),
    ...(processor === undefined ? {} : { execCPUAffinity: { initial: processor, final: processor } }),
    args: [...command],
    env: [...container.env, ...(terminal && !hasTerm ? ["TERM=xterm"] : []), `${execIdVariable}=${execId}`]
  })
}
