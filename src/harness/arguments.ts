/** The command line of `cricket harness`. */
import { Result } from "effect"
import { InvalidInput } from "./HarnessError.ts"

export const usage = `cricket harness - holds a CRI runtime against the contract, with random requests

Usage:
  cricket harness run [--profile P] [flags]      random scenarios on a socket
  cricket harness replay FILE [--profile P]      a scenario that was written down
  cricket harness diff --profile P --against Q   one sequence on two targets, answers compared
  cricket harness report DIR                     the report of a run again, as text, JUnit and Markdown

A profile is cricket, containerd, crio, or a JSON file (docs/harness.md).

Flags of run, and of diff:
  --profile P       the target; default cricket
  --endpoint E      another socket than the profile's, unix:///…
  --seed N          of the first scenario; the next ones count up from it. Default: from the clock
  --runs K          scenarios at most; default 1000
  --time T          no scenario begins after this time (90s, 10m, 2h); default 10m
  --length N        steps of a scenario at most; default 30
  --only A,B        groups (pods, containers, processes, exec, logs, images, reads, streams) or operations
  --keep-daemon     never end the daemon, to see whether it grows
  --first DIR|FILE  scenarios to run before the random ones
  --out DIR         for the report and the violations; default ./harness-report
  --keep-going N    violations after which the run ends; default 3
  --attempts N      scenarios that are tried to make a violation smaller; default 60
  --repeat N        runs of each of these, for what needs luck to fail; default 1
  --json            print the report as JSON

Flags of replay: --profile (default: where it was found, or cricket), --endpoint, --repeat N (default 1), --original (before it was made smaller), --out DIR

The exit code is 0 when no rule is violated, 1 when one is, 2 when nothing can be said: flags or files that are not
understood, a socket where no runtime answers.
`

export interface RunArguments {
  readonly profile: string
  readonly endpoint: string | undefined
  readonly seed: number | undefined
  readonly runs: number
  readonly limitMs: number
  readonly length: number
  readonly only: ReadonlyArray<string>
  readonly first: string | undefined
  readonly out: string
  readonly maxFailures: number
  readonly attempts: number
  readonly repeat: number
  readonly json: boolean
  readonly keepsDaemon: boolean
}

export type HarnessCommand =
  | ({ readonly _tag: "Run" } & RunArguments)
  | ({ readonly _tag: "Diff"; readonly against: string } & RunArguments)
  | {
      readonly _tag: "Replay"
      readonly file: string
      /** That of the scenario unless given. */
      readonly profile: string | undefined
      readonly endpoint: string | undefined
      readonly repeat: number
      readonly original: boolean
      readonly out: string | undefined
    }
  | { readonly _tag: "Report"; readonly directory: string }
  | { readonly _tag: "Help" }

const valued = [
  "profile",
  "against",
  "endpoint",
  "seed",
  "runs",
  "time",
  "length",
  "only",
  "first",
  "out",
  "keep-going",
  "attempts",
  "repeat"
] as const
const switches = ["json", "original", "keep-daemon", "help"] as const

type Flag = (typeof valued)[number] | (typeof switches)[number]

const flagsOf: Readonly<Record<string, ReadonlyArray<Flag>>> = {
  run: valued.filter((flag) => flag !== "against"),
  diff: valued.filter((flag) => flag !== "endpoint"),
  replay: ["profile", "endpoint", "repeat", "out"],
  report: []
}
const switchesOf: Readonly<Record<string, ReadonlyArray<Flag>>> = {
  run: ["json", "keep-daemon"],
  diff: ["json"],
  replay: ["original"]
}

const units: Readonly<Record<string, number>> = { "": 1000, ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/** Milliseconds of "90s", "10m", "2h", or of a number of seconds. */
export const parseTime = (text: string): number | undefined => {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text) ?? []
  const factor = units[unit ?? ""]
  return digits === undefined || factor === undefined ? undefined : Number(digits) * factor
}

/** Arguments after `harness`. */
export const parseHarnessArguments = (argv: ReadonlyArray<string>): Result.Result<HarnessCommand, InvalidInput> => {
  const problems: Array<string> = []
  const words: Array<string> = []
  const values = new Map<string, string>()
  for (let index = 0; index < argv.length; index++) {
    const argument = argv[index] ?? ""
    const [, name, , attached] = /^--?([a-z-]+)(=([^]*))?$/.exec(argument) ?? []
    if (name === undefined) {
      words.push(argument)
    } else if (name === "help" || name === "h") {
      values.set("help", "true")
    } else if ((switches as ReadonlyArray<string>).includes(name)) {
      values.set(name, "true")
    } else if ((valued as ReadonlyArray<string>).includes(name)) {
      const value = attached ?? argv[++index]
      if (value === undefined) problems.push(`--${name} needs a value`)
      else values.set(name, value)
    } else {
      problems.push(`unknown flag ${argument}`)
    }
  }
  const [command, ...rest] = words
  if (values.has("help") || command === undefined || command === "help") {
    if (problems.length === 0) return Result.succeed({ _tag: "Help" })
  }
  const known = [...(flagsOf[command ?? ""] ?? []), ...(switchesOf[command ?? ""] ?? [])] as ReadonlyArray<string>
  if (command !== undefined && !(command in flagsOf)) problems.push(`unknown command ${JSON.stringify(command)}`)
  else for (const flag of values.keys()) if (!known.includes(flag)) problems.push(`${command} has no flag --${flag}`)

  const number = (name: Flag, otherwise: number, least: number): number => {
    const text = values.get(name)
    if (text === undefined) return otherwise
    const value = Number(text)
    if (Number.isSafeInteger(value) && value >= least) return value
    problems.push(`--${name} is ${JSON.stringify(text)}; expected a whole number from ${least}`)
    return otherwise
  }
  const time = values.get("time") ?? "10m"
  const limitMs = parseTime(time)
  if (limitMs === undefined) problems.push(`--time is ${JSON.stringify(time)}; expected 90s, 10m or 2h`)
  const wanted = command === "replay" || command === "report" ? 1 : 0
  if (rest.length > wanted) problems.push(`unexpected argument ${JSON.stringify(rest[wanted])}`)
  if (rest.length < wanted) problems.push(`${command} needs a ${command === "replay" ? "file" : "directory"}`)
  const runArguments: RunArguments = {
    profile: values.get("profile") ?? "cricket",
    endpoint: values.get("endpoint"),
    seed: values.has("seed") ? number("seed", 0, 0) : undefined,
    runs: number("runs", 1000, 1),
    limitMs: limitMs ?? 0,
    length: number("length", 30, 1),
    only: values.get("only")?.split(",") ?? [],
    first: values.get("first"),
    out: values.get("out") ?? "harness-report",
    maxFailures: number("keep-going", 3, 1),
    attempts: number("attempts", 60, 0),
    repeat: number("repeat", 1, 1),
    json: values.has("json"),
    keepsDaemon: values.has("keep-daemon")
  }
  const { endpoint } = runArguments
  if (endpoint !== undefined && !/^(unix:\/\/)?\//.test(endpoint)) {
    problems.push(`--endpoint is ${JSON.stringify(endpoint)}; expected unix:// and an absolute path`)
  }
  const against = values.get("against")
  if (command === "diff" && against === undefined) problems.push("diff needs --against")
  if (problems.length > 0) return Result.fail(new InvalidInput({ source: "cricket harness", problems }))
  switch (command) {
    case "run":
      return Result.succeed({ _tag: "Run", ...runArguments })
    case "diff":
      return Result.succeed({ _tag: "Diff", against: against ?? "", ...runArguments })
    case "replay": {
      const { endpoint, repeat } = runArguments
      const original = values.has("original")
      return Result.succeed({
        _tag: "Replay",
        file: rest[0] ?? "",
        profile: values.get("profile"),
        endpoint,
        repeat,
        original,
        out: values.get("out")
      })
    }
    default:
      return Result.succeed({ _tag: "Report", directory: rest[0] ?? "" })
  }
}
