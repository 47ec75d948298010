import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import packageJson from "../../package.json" with { type: "json" }
import { parseArguments } from "../../src/cli/arguments.ts"
import { runConfigCommand, runVersionCommand } from "../../src/cli/commands.ts"
import { optionFlags, programFlags } from "../../src/cli/flags.ts"
import { helpText } from "../../src/cli/help.ts"
import { version } from "../../src/cli/version.ts"
import { Files } from "../../src/linux/Files.ts"
import { filesOf } from "../config/support.ts"

/** Runs `cricket ARGUMENTS` with files and standard input; gives what it printed. */
const cricket = Effect.fnUntraced(function* (
  argv: ReadonlyArray<string>,
  files: Readonly<Record<string, string>> = {},
  input = ""
) {
  const command = parseArguments(argv, {})
  if (command._tag !== "Config") return yield* Effect.die(command)
  let output = ""
  let errors = ""
  yield* runConfigCommand({
    ...command,
    standardInput: Effect.succeed(input),
    write: (text) => Effect.sync(() => void (output += text)),
    writeError: (text) => Effect.sync(() => void (errors += text))
  }).pipe(Effect.provideService(Files, filesOf(files)))
  return { output, errors }
})

const settingsIn = (text: string) => text.split("\n").filter((line) => /^\w+ = /.test(line))

describe("config", () => {
  it.effect("`config --default | --config /dev/stdin config` changes nothing", () =>
    Effect.gen(function* () {
      const defaults = yield* cricket(["config", "--default"])
      const again = yield* cricket(["--config", "/dev/stdin", "config"], {}, defaults.output)
      const plain = yield* cricket(["config"])
      assert.strictEqual(again.output, plain.output)
      assert.strictEqual(again.errors, "")
      assert.deepStrictEqual(settingsIn(again.output), [])
    })
  )

  it.effect("prints what files and flags change, and warns on standard error", () =>
    Effect.gen(function* () {
      const files = { "/c": '[crio.runtime]\nlog_level = "debug"\nlog_levle = "x"\n' }
      const { output, errors } = yield* cricket(["-c", "/c", "--cni-plugin-dir=/a,/b", "config"], files)
      assert.deepStrictEqual(settingsIn(output), ['log_level = "debug"', 'plugin_dirs = ["/a", "/b"]'])
      assert.match(errors, /^warning: \/c:3:1: unknown key crio\.runtime\.log_levle[^]*did you mean log_level\?\n$/)
    })
  )

  it.effect("fails with everything that is wrong", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        cricket(["-c", "/dev/stdin", "--log-level=loud", "config"], {}, "[crio]\nroot = 1\n")
      )
      assert.strictEqual(error._tag, "ConfigError")
      assert.deepStrictEqual(
        error.problems.map((problem) => problem.split(":")[0]),
        ["/dev/stdin", "command line"]
      )
    })
  )
})

describe("version", () => {
  const print = (json: boolean) => {
    let output = ""
    const write = (text: string) => Effect.sync(() => void (output += text))
    return Effect.map(runVersionCommand({ json, write }), () => output)
  }

  it.effect("is that of the package, in the line that tools read", () =>
    Effect.gen(function* () {
      assert.strictEqual(version, packageJson.version)
      const [first, ...rest] = (yield* print(false)).trimEnd().split("\n")
      assert.strictEqual(first, `cricket version ${packageJson.version}`)
      for (const line of rest) assert.match(line, /^\w+: +\S/)
      assert.include(JSON.parse(yield* print(true)) as object, { version: packageJson.version })
    })
  )
})

describe("help", () => {
  it("names every flag with its variable", () => {
    const text = helpText("program")
    for (const flag of [...optionFlags, ...Object.values(programFlags)]) {
      assert.include(text, `--${flag.names.find((name) => name.length > 1)}`)
    }
    for (const line of text.split("\n")) assert.isAtMost(line.length, 110)
    assert.include(text, "environment CONTAINER_CGROUP_MANAGER")
  })
})
