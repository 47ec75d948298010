/** The text of --help, made from the flags. */
import { wrapWords } from "../config/wrap.ts"
import { type Flag, optionFlags, programFlags, spellFlag } from "./flags.ts"

const width = 100
const indent = 6

const wrap = (text: string): string =>
  wrapWords(text, width - indent)
    .map((line) => " ".repeat(indent) + line)
    .join("\n")

const describe = (flag: Flag): string => {
  const notes = [
    flag.default === undefined || flag.default.includes("\n") ? undefined : `default ${flag.default}`,
    flag.env === undefined ? undefined : `environment ${flag.env}`,
    flag.built ? undefined : "not built yet"
  ].filter((note) => note !== undefined)
  const value = flag.takesValue ? " VALUE" : ""
  const text = notes.length === 0 ? flag.doc : `${flag.doc} (${notes.join("; ")})`
  return `  ${flag.names.map(spellFlag).join(", ")}${value}\n${wrap(text)}`
}

const program = (): string => `cricket - a Kubernetes container runtime

Usage:
  cricket [flags]                    run the daemon
  cricket [flags] config [--default] print the configuration as commented TOML
  cricket harness COMMAND            hold a CRI runtime against the contract (cricket harness help)
  cricket version [-j]               print the version

Flags:
${[...Object.values<Flag>(programFlags), ...optionFlags].map(describe).join("\n")}
`

const topics = {
  program,
  config: () => `cricket [flags] config [--default]

Prints the configuration that the flags, the environment and the files give, as TOML with
comments. Keys with their default value are comments.

  --default
      Print the defaults instead, every key as a setting; read no file.
`,
  version: () => `cricket version [-j]

  --json, -j
      Print a JSON object.
`
} as const

export const helpText = (topic: keyof typeof topics): string => topics[topic]()
