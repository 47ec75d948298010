import { assert, describe, it } from "@effect/vitest"
import { parseArguments } from "../../src/cli/arguments.ts"
import { allKeys, pathText } from "../../src/config/spellings.ts"

const serve = (argv: ReadonlyArray<string>, environment: Readonly<Record<string, string>> = {}) => {
  const command = parseArguments(argv, environment)
  if (command._tag !== "Serve") throw new Error(JSON.stringify(command))
  return command
}

const given = (argv: ReadonlyArray<string>) => serve(argv).sources.flags.map(({ path, text }) => [pathText(path), text])

const problems = (...argv: ReadonlyArray<string>) => {
  const command = parseArguments(argv, {})
  return command._tag === "Invalid" ? command.problems : []
}

describe("flags", () => {
  it("serves by default, with CRI-O's files", () => {
    assert.deepStrictEqual(serve([]), {
      _tag: "Serve",
      sources: {
        file: "/etc/crio/crio.conf",
        fileRequired: false,
        directory: "/etc/crio/crio.conf.d",
        environment: [],
        flags: []
      },
      logFile: undefined,
      logFormat: "text",
      registriesConf: undefined,
      registriesConfDirectory: undefined,
      withoutEffect: []
    })
  })

  it("takes every spelling of names and values", () => {
    assert.deepStrictEqual(
      given([
        "--root",
        "/a",
        "--root=/b",
        "-root",
        "/c",
        "-r",
        "/d",
        "-r=/e",
        "--log-filter=a=b",
        "--selinux",
        "--selinux=false"
      ]),
      [
        ["crio.root", "/a"],
        ["crio.root", "/b"],
        ["crio.root", "/c"],
        ["crio.root", "/d"],
        ["crio.root", "/e"],
        ["crio.runtime.log_filter", "a=b"],
        ["crio.runtime.selinux", "true"],
        ["crio.runtime.selinux", "false"]
      ]
    )
  })

  it("a switch takes no following word, a value may look like a flag", () => {
    assert.deepStrictEqual(problems("--selinux", "false"), ['unknown command "false"'])
    assert.deepStrictEqual(given(["--pids-limit", "-1"]), [["crio.runtime.pids_limit", "-1"]])
  })

  it.each(allKeys.flatMap(({ path, member }) => (member.flags ?? []).map((flag) => [flag, pathText(path)] as const)))(
    "%s sets %s",
    (flag, path) => {
      assert.deepStrictEqual(given([`${flag.length === 1 ? "-" : "--"}${flag}=x`]), [[path, "x"]])
    }
  )

  it("reads every variable of the table that is not empty", () => {
    const variables = allKeys.flatMap(({ member }) => (member.env === undefined ? [] : [member.env]))
    const environment = Object.fromEntries(variables.map((name) => [name, "x"]))
    assert.strictEqual(serve([], environment).sources.environment.length, variables.length)
    assert.deepStrictEqual(serve([], { CONTAINER_ROOT: "", HOME: "/" }).sources.environment, [])
  })

  it("gives flags of the program before their variables", () => {
    const environment = { CONTAINER_CONFIG: "/env", CONTAINER_CONFIG_DIR: "/env.d", CONTAINER_LOG_FORMAT: "json" }
    const command = serve(["-c", "/flag", "--profile", "--profile-port=1", "--log", "/log"], environment)
    assert.strictEqual(command.sources.file, "/flag")
    assert.isTrue(command.sources.fileRequired)
    assert.strictEqual(command.sources.directory, "/env.d")
    assert.strictEqual(command.logFormat, "json")
    assert.strictEqual(command.logFile, "/log")
    assert.deepStrictEqual(command.withoutEffect, ["--profile", "--profile-port"])
  })
})

describe("commands", () => {
  it("knows its commands, with flags before and after them", () => {
    const config = parseArguments(["--config", "/dev/stdin", "config", "-l", "debug", "--default"], {})
    assert.strictEqual(config._tag, "Config")
    assert.strictEqual(config._tag === "Config" && config.defaults, true)
    assert.strictEqual(config._tag === "Config" && config.sources.file, "/dev/stdin")
    assert.strictEqual(config._tag === "Config" && config.sources.flags.length, 1)
    assert.deepStrictEqual(parseArguments(["version", "-j"], {}), { _tag: "Version", json: true })
    assert.deepStrictEqual(parseArguments(["version"], {}), { _tag: "Version", json: false })
    assert.deepStrictEqual(parseArguments(["-v"], {}), { _tag: "Version", json: false })
    assert.deepStrictEqual(parseArguments(["--help"], {}), { _tag: "Help", topic: "program" })
    assert.deepStrictEqual(parseArguments(["config", "-h"], {}), { _tag: "Help", topic: "config" })
    assert.deepStrictEqual(parseArguments(["help", "version"], {}), { _tag: "Help", topic: "version" })
  })

  it("names everything that it does not understand, with suggestions", () => {
    assert.deepStrictEqual(problems("--cgroup-maneger=x", "confg", "--log-format=xml"), [
      "unknown flag --cgroup-maneger=x; did you mean --cgroup-manager?",
      'unknown command "confg"; did you mean config?',
      '--log-format is "xml"; expected "text" or "json"'
    ])
    assert.deepStrictEqual(problems("config", "--defualt"), ["unknown flag --defualt; did you mean --default?"])
    assert.deepStrictEqual(problems("--default"), ["unknown flag --default"])
    assert.deepStrictEqual(problems("--rooot", "/x"), ["unknown flag --rooot; did you mean --root?"])
    assert.deepStrictEqual(problems("wipe"), ["the command wipe is not built yet"])
    assert.deepStrictEqual(problems("config", "more"), ['unexpected argument "more"'])
    assert.deepStrictEqual(problems("--root"), ["flag --root needs a value"])
    assert.deepStrictEqual(problems("--"), ['"--" is no flag'])
  })
})
