import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Result } from "effect"
import { parseHarnessArguments, parseTime } from "../../src/harness/arguments.ts"
import { differences, type HostState } from "../../src/harness/HostState.ts"
import { makeJudge } from "../../src/harness/Judge.ts"
import { normalise } from "../../src/harness/Normalise.ts"
import { decodeProfile, inDirectory } from "../../src/harness/Profile.ts"
import { builtInProfiles } from "../../src/harness/profiles.ts"
import { decodeReport, type Report, toJUnit, toMarkdown, toSummary } from "../../src/harness/Report.ts"
import { addRule, allRules, isRule } from "../../src/harness/Rules.ts"

const report: Report = {
  version: 1,
  profile: "x<y",
  target: "some runtime 1",
  seed: 3,
  runs: 2,
  commands: 40,
  operations: { RunPodSandbox: 40 },
  kills: 1,
  seconds: 12.5,
  unimplemented: ["exec"],
  rules: {
    "pod.run.ready": { held: 5, violated: 0, known: [] },
    "pod.remove.gone": { held: 1, violated: 1, known: [] },
    "exec.state": { held: 0, violated: 0, known: [{ reason: "it | runs", count: 2, example: "an example" }] }
  },
  failures: [
    { rule: "pod.remove.gone", details: 'pod-1 is "ready" & stays', seed: 3, steps: 2, directory: "failure-1-3" }
  ]
}

describe("a report", () => {
  it("keeps its form through JSON", () => {
    assert.deepStrictEqual(Result.getOrThrow(decodeReport("report", JSON.stringify(report))), report)
  })

  it("is a JUnit file with a case for each rule", () => {
    const xml = toJUnit(report)
    assert.strictEqual(xml.match(/<testcase /g)?.length, allRules().length)
    assert.match(xml, new RegExp(`tests="${allRules().length}" failures="1" skipped="${allRules().length - 3}"`))
    assert.include(xml, 'classname="x&lt;y" name="pod.remove.gone: ')
    assert.include(xml, '<failure message="pod-1 is &quot;ready&quot; &amp; stays">')
    assert.include(xml, "it | runs (2 times): an example")
  })

  it("is a matrix with a line for each rule", () => {
    const text = toMarkdown(report)
    assert.include(text, "| pod.run.ready | RunPodSandbox answers with an id when the pod is READY | held | 5 |  |")
    assert.match(text, /\| exec\.state \| [^|]* \| deviates \| 0 \| it \\\| runs \(2×\) \|/)
    assert.match(text, /\| pod\.remove\.gone \| [^|]* \| violated \| 1 \|/)
    assert.match(text, /\| host\.mounts \| [^|]* \| not seen \|/)
    assert.include(text, "Not implemented: exec.")
  })

  it("is a summary for the terminal", () => {
    assert.include(toSummary(report), "1 rules held, 1 with known deviations, 1 violated")
    assert.include(toSummary(report), "deviates  exec.state: it | runs (2 times)")
  })
})

describe("the judge", () => {
  const known = [{ rule: "exec.state", matching: "created", reason: "runs in created ones" }]

  it.effect("counts, names what is known, and fails with the rest", () =>
    Effect.gen(function* () {
      const judge = makeJudge(known)
      assert.isTrue(yield* judge.hold("exec.state", true, () => ""))
      assert.isFalse(yield* judge.hold("exec.state", false, () => "it is created"))
      const exit = yield* Effect.exit(judge.hold("exec.state", false, () => "it is exited"))
      assert.isTrue(Exit.isFailure(exit))
      assert.deepStrictEqual(judge.counts().get("exec.state"), {
        held: 1,
        violated: 1,
        known: [{ reason: "runs in created ones", count: 1, example: "it is created" }]
      })
      assert.isTrue(judge.knows("exec.state", "created"))
      assert.isFalse(judge.knows("exec.code", "created"))
    })
  )

  it("knows rules that others have added", () => {
    assert.isFalse(isRule("own.rule"))
    addRule("own.rule", "something of one's own")
    assert.isTrue(isRule("own.rule"))
    assert.deepStrictEqual(allRules().at(-1), ["own.rule", "something of one's own"])
  })
})

const state = (lines: Partial<HostState["lines"]>, descriptors = 20, residentMiB = 80): HostState => ({
  lines: {
    mounts: [],
    namespaces: [],
    links: [],
    firewall: [],
    ports: [],
    cgroups: [],
    processes: [],
    files: [],
    ...lines
  },
  daemon: { descriptors, residentMiB }
})

describe("the host before and after", () => {
  const bounds = { descriptors: 10, memory: 50 }

  it("differs by what is left, what is gone, and what has grown too much", () => {
    const before = state({ mounts: ["/a", "/a"], links: ["lo", "cni0"] })
    const after = state({ mounts: ["/a", "/b"], links: ["lo", "cni0", "veth1"] }, 31, 131)
    assert.deepStrictEqual(differences(before, after, bounds), [
      { kind: "mounts", text: "gone: /a" },
      { kind: "mounts", text: "left: /b" },
      { kind: "links", text: "left: veth1" },
      { kind: "descriptors", text: "11 more than before" },
      { kind: "memory", text: "51 MiB more than before" }
    ])
  })

  it("is the same when the order is another and growth is within its bounds", () => {
    const before = state({ files: ["a", "b"] })
    assert.deepStrictEqual(differences(before, state({ files: ["b", "a"] }, 30, 130), bounds), [])
  })
})

describe("a profile", () => {
  const plain = { name: "x", endpoint: "unix:///x.sock", images: { main: "busybox" } }

  for (const name of Object.keys(builtInProfiles)) {
    it(`${name} comes with the harness`, () => {
      assert.strictEqual(Result.getOrThrow(decodeProfile(name, { extends: name })).name, name)
    })
  }

  it("extends another one, and adds to what is known of it", () => {
    const known = [{ rule: "exec.state", reason: "so it is" }]
    const profile = Result.getOrThrow(decodeProfile("file", { extends: "containerd", name: "mine", known }))
    assert.strictEqual(profile.name, "mine")
    assert.strictEqual(profile.monitor?.program, "containerd-shim-runc-v2")
    assert.deepStrictEqual(profile.known.at(-1), known[0])
    assert.isAbove(profile.known.length, 5)
  })

  const wrong: ReadonlyArray<readonly [string, unknown, RegExp]> = [
    ["is no object", [], /a profile is a JSON object/],
    ["extends nothing that there is", { extends: "docker" }, /expected one of cricket, crio, containerd/],
    ["has an unknown key", { ...plain, endpont: "x" }, /endpont/],
    ["names an unknown rule", { ...plain, known: [{ rule: "no.rule", reason: "x" }] }, /there is no rule no\.rule/],
    ["has a bad expression", { ...plain, lasting: ["("] }, /is no regular expression/],
    ["has another endpoint", { ...plain, endpoint: "tcp://1.2.3.4" }, /does not begin with unix:\/\/\//],
    ["starts nothing in its namespaces", { ...plain, namespaces: "private" }, /there is no start/]
  ]
  for (const [name, json, problem] of wrong) {
    it(`that ${name} is refused`, () => {
      const decoded = decodeProfile("file", json)
      assert.match(Result.isFailure(decoded) ? decoded.failure.message : "", problem)
    })
  }

  it("has its directory filled in, in keys and values", () => {
    const profile = Result.getOrThrow(
      decodeProfile("file", { ...plain, files: { "${dir}/a": "in ${dir}" }, paths: ["${dir}/root"] })
    )
    const { files, paths } = inDirectory(profile, "/tmp/x")
    assert.deepStrictEqual(files, { "/tmp/x/a": "in /tmp/x" })
    assert.deepStrictEqual(paths, ["/tmp/x/root"])
  })
})

describe("normalised answers", () => {
  const names = new Map([["abc", "pod-1"]])

  it("have no ids, times, addresses, digests and paths", () => {
    const answer = {
      id: "abc",
      other: "f".repeat(64),
      createdAt: 1_795_314_283_142_155_752n,
      exitCode: 3,
      size: 12n,
      ip: "10.1.2.3",
      logPath: "/var/log/x",
      url: "http://127.0.0.1:1/x",
      ref: `repo@sha256:${"a".repeat(64)}`,
      stdout: Buffer.from("hi"),
      nothing: undefined
    }
    assert.deepStrictEqual(normalise(answer, names), {
      createdAt: "<time>",
      exitCode: 3,
      id: "pod-1",
      ip: "<address>",
      logPath: "<path>",
      other: "<id>",
      ref: "<digest>",
      size: "12",
      stdout: "hi",
      url: "<url>"
    })
  })
})

describe("the command line", () => {
  const parse = (line: string) => parseHarnessArguments(line.split(" ").filter((word) => word !== ""))
  const failure = (line: string) => {
    const parsed = parse(line)
    return Result.isFailure(parsed) ? parsed.failure.message : ""
  }

  it("of run has defaults, and flags before and after", () => {
    const command = Result.getOrThrow(
      parse("--seed=7 run --keep-daemon --profile containerd --only exec,Stop --time 90s")
    )
    assert.deepInclude(command, {
      _tag: "Run",
      profile: "containerd",
      seed: 7,
      runs: 1000,
      limitMs: 90_000,
      only: ["exec", "Stop"],
      out: "harness-report",
      keepsDaemon: true
    })
  })

  it("of replay, report and diff", () => {
    assert.deepInclude(Result.getOrThrow(parse("replay a.json --repeat 3 --original")), { file: "a.json", repeat: 3 })
    assert.deepStrictEqual(Result.getOrThrow(parse("report out")), { _tag: "Report", directory: "out" })
    assert.deepInclude(Result.getOrThrow(parse("diff --profile cricket --against crio")), { against: "crio" })
    assert.deepStrictEqual(Result.getOrThrow(parse("")), { _tag: "Help" })
    assert.deepStrictEqual(Result.getOrThrow(parse("run --help")), { _tag: "Help" })
  })

  it("that is not understood is refused with everything that is wrong", () => {
    const problems = failure("run --seed x --time soon --bogus extra")
    for (const problem of [/--bogus/, /--seed is "x"/, /--time is "soon"/, /unexpected argument "extra"/]) {
      assert.match(problems, problem)
    }
    assert.match(failure("replay"), /needs a file/)
    assert.match(failure("diff --profile cricket"), /--against/)
    assert.match(failure("report out --seed 3"), /report has no flag --seed/)
    assert.match(failure("run --endpoint http://x"), /--endpoint is "http:\/\/x"/)
    assert.isUndefined(Result.getOrThrow(parse("replay a.json"))["profile" as never])
    assert.match(failure("walk"), /unknown command "walk"/)
  })

  it("has times with units", () => {
    assert.deepStrictEqual(["90", "90s", "1.5m", "2h", "250ms", "x"].map(parseTime), [
      90_000,
      90_000,
      90_000,
      7_200_000,
      250,
      undefined
    ])
  })
})
