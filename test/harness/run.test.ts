import { afterEach, assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as fc from "fast-check"
import { VersionRequest, type VersionResponse } from "../../src/gen/runtime/v1/api.ts"
import {
  addRule,
  allOperations,
  compare,
  decodeProfile,
  decodeScenario,
  describeDisagreements,
  type Invariant,
  makeRunner,
  message,
  type Operation,
  run,
  services
} from "../../src/harness/index.ts"
import { type Fault, startFakeRuntime } from "./fakeRuntime.ts"
import type { StreamFault } from "./fakeStreams.ts"

const directory = mkdtempSync(`${tmpdir()}/cricket-harness-test-`)
const endings: Array<() => void> = []
let targets = 0

afterEach(() => {
  for (const end of endings.splice(0)) end()
  rmSync(directory, { recursive: true, force: true })
})

/** What is shown by an answer that never comes: seconds, more than a busy machine takes for one that does come. */
const silent: ReadonlySet<Fault | StreamFault> = new Set(["hangs", "cut-output", "no-stdin", "open-stdin"])
const silence = 3

const start = (fault: Fault, streamFault: StreamFault = "none") =>
  Effect.gen(function* () {
    const place = mkdtempSync(`${tmpdir()}/cricket-harness-test-`)
    const socket = join(place, `${++targets}.sock`)
    const { stop, ...state } = yield* Effect.promise(() => startFakeRuntime(socket, fault, streamFault))
    endings.push(() => {
      stop()
      rmSync(place, { recursive: true, force: true })
    })
    const profile = Result.getOrThrow(
      decodeProfile("fake", {
        name: "fake",
        endpoint: `unix://${socket}`,
        images: { main: "busybox", spare: "spare" },
        logDirectory: join(place, "logs"),
        compared: [],
        capabilities: ["memoryLimits"],
        limits: { rpc: silent.has(fault) || silent.has(streamFault) ? silence : 10, settle: 0.7 }
      })
    )
    return { place, profile, ...state }
  })

const most = ["pods", "containers", "images", "ListsMeanwhile"]

const running = (fault: Fault, runs: number, only: ReadonlyArray<string> = most, streamFault?: StreamFault) =>
  Effect.gen(function* () {
    const { place, profile, ...state } = yield* start(fault, streamFault)
    const report = yield* run({
      profile,
      operations: allOperations,
      only,
      seed: 1,
      runs,
      limitMs: 60_000,
      length: 12,
      maxFailures: 1,
      keepsDaemon: false,
      // Enough for the steps; what comes then are smaller numbers (Scenario.test.ts).
      shrink: { attempts: streamFault === undefined ? (silent.has(fault) ? 12 : 50) : 0, repeat: 1, limitMs: 120_000 },
      output: join(place, "out"),
      directory: join(place, "targets"),
      environment: {},
      first: [],
      write: () => Effect.void
    })
    return { place, report, profile, ...state }
  }).pipe(Effect.provide(services))

/** What each fault breaks, and the most steps that show it. */
const faults: ReadonlyArray<readonly [Fault, RegExp, number, ReadonlyArray<string>?]> = [
  ["remove-twice", /^pod\.remove\.concurrent$/, 2],
  ["exit-code", /^container\.exit\.code$/, 4],
  ["listed-for-ever", /^(container|pod)\.remove\.gone$/, 3],
  ["two-pods", /^(pod\.run\.(again|concurrent|retry)|pod\.name\.unique|read\.listed)$/, 2],
  ["stop-pod", /^pod\.stop\.(containers|created)$/, 4],
  ["start-time", /^container\.times$/, 4],
  ["hangs", /^rpc\.deadline$/, 4, ["Remove"]],
  ["half-made", /^read\.whole$/, 2, ["ListsMeanwhile"]],
  ["no-oom", /^container\.exit\.oom$/, 3, ["Start"]],
  ["used-image", /^image\.remove\.used$/, 4, ["RemoveUsedImage"]]
]

const streamFaults: ReadonlyArray<readonly [StreamFault, RegExp]> = [
  ["token-again", /^stream\.token-once$/],
  ["no-exit-code", /^stream\.(exit-code|half-close)$/],
  ["cut-output", /^(stream\.(open|spdy|output-complete|stdin|half-close|attach)|rpc\.deadline)$/],
  ["one-output", /^stream\.output-complete$/],
  ["no-stdin", /^(stream\.(open|spdy|stdin)|rpc\.deadline)$/],
  ["open-stdin", /^(stream\.(open|spdy)|rpc\.deadline)$/],
  ["bad-forward", /^stream\.forward$/],
  ["silent-forward", /^stream\.forward-refused$/]
]

describe("a run of the harness", () => {
  it.live("finds nothing in a runtime that keeps the contract, and leaves nothing there", () =>
    Effect.gen(function* () {
      const { report, pods, containers } = yield* running("none", 8)
      assert.deepStrictEqual(report.failures, [])
      assert.isAbove(report.commands, 60)
      assert.strictEqual(pods.size + containers.size, 0)
      assert.isAbove(report.rules["container.start.running"]?.held ?? 0, 5)
    })
  )

  for (const [fault, rule, steps, only] of faults) {
    it.live(
      `finds the fault ${fault}, makes it small, and keeps it for replay`,
      () =>
        Effect.gen(function* () {
          const { report, place, profile } = yield* running(fault, 60, only)
          const [failure] = report.failures
          assert.isDefined(failure)
          assert.match(failure?.rule ?? "", rule)
          assert.isAtMost(failure?.steps ?? 99, steps, failure?.details)
          assert.isAbove(report.rules[failure?.rule ?? ""]?.violated ?? 0, 0)
          const folder = join(place, "out", failure?.directory ?? "")
          assert.includeMembers(readdirSync(folder), ["scenario.json", "first.log", "smallest.log"])
          const text = readFileSync(join(folder, "scenario.json"), "utf8")
          const scenario = Result.getOrThrow(decodeScenario("scenario", text))
          const again = yield* Effect.scoped(
            Effect.gen(function* () {
              const directory = join(place, "replay")
              const runner = yield* makeRunner({ profile, operations: allOperations, directory, environment: {} })
              return yield* runner.run(scenario.steps)
            })
          ).pipe(Effect.provide(services))
          assert.strictEqual(again.violation?.rule, failure?.rule)
        }),
      60_000
    )
  }

  it.live("finds nothing in streams that are as they should be", () =>
    Effect.gen(function* () {
      const { report } = yield* running("none", 12, ["streams"], "none")
      assert.deepStrictEqual(report.failures, [])
      const rules = ["open", "spdy", "exit-code", "output-complete", "stdin", "half-close", "token-once", "attach"]
      for (const rule of [...rules, "forward", "forward-refused"]) {
        assert.isAbove(report.rules[`stream.${rule}`]?.held ?? 0, 0, rule)
      }
    })
  )

  for (const [fault, rule] of streamFaults) {
    it.live(
      `finds the fault ${fault} of streams`,
      () =>
        Effect.gen(function* () {
          const { report } = yield* running("none", 60, ["streams"], fault)
          assert.match(report.failures[0]?.rule ?? "", rule)
        }),
      60_000
    )
  }

  it.live("says at once that nobody answers, and what is not ready", () =>
    Effect.gen(function* () {
      const failure = yield* Effect.flip(running("not-ready", 1))
      assert.match(failure.message, /^fake: ask unix:\/\/.*: it is not ready: NetworkReady: no network$/)
      const { profile, place } = yield* start("none")
      const nobody = { ...profile, endpoint: `unix://${place}/nobody.sock` }
      const options = { profile: nobody, operations: allOperations, directory: place, environment: {} }
      const runner = Effect.flatMap(makeRunner(options), ({ open }) => open)
      const refused = yield* Effect.flip(Effect.scoped(runner)).pipe(Effect.provide(services))
      assert.match(refused.message, /ENOENT .*is the runtime running, and is this its socket\?/)
    })
  )

  it.live("compares two runtimes, and names the rules in which they differ", () =>
    Effect.gen(function* () {
      const one = yield* start("none")
      const other = yield* start("stop-pod")
      const profiles = [
        { ...one.profile, name: "one" },
        { ...other.profile, name: "other" }
      ] as const
      const found = yield* compare({
        profiles,
        operations: allOperations,
        only: ["pods"],
        seed: 1,
        runs: 5,
        limitMs: 30_000,
        length: 20,
        directory: join(one.place, "targets"),
        environment: {},
        write: () => Effect.void
      }).pipe(Effect.provide(services))
      const stopped = found.find(({ rules }) => rules.includes("pod.stop.containers"))
      assert.match(stopped?.label ?? "", /^StopPodSandbox pod-/)
      assert.match(stopped?.says[0] ?? "", /exited with 137/)
      assert.match(stopped?.says[1] ?? "", /running/)
      const text = describeDisagreements(profiles, found)
      assert.match(text, /one +shows c-.*exited with 137 Error\n {2}other +shows c-.*running\n {2}rule +pod\.stop/)
      const same = yield* compare({
        profiles: [profiles[0], { ...one.profile, name: "again" }],
        operations: allOperations,
        only: ["pods"],
        seed: 1,
        runs: 2,
        limitMs: 30_000,
        length: 20,
        directory: join(one.place, "same"),
        environment: {},
        write: () => Effect.void
      }).pipe(Effect.provide(services))
      assert.strictEqual(describeDisagreements(profiles, same), "no difference\n")
    })
  )

  it.live("has operations and rules of a project's own beside the others", () =>
    Effect.gen(function* () {
      const { profile, place } = yield* start("none")
      addRule("own.version", "the version is 1")
      const version: Operation = {
        name: "OwnVersion",
        group: "own",
        weight: 50,
        parameters: fc.record({ expected: fc.constantFrom("1", "2") }),
        prepare: ({ target, judge }, parameters) => ({
          label: "Version",
          touches: () => [],
          ask: target.cri.call("version", message(VersionRequest)),
          check: (outcome) => {
            const answer = outcome._tag === "Answered" ? (outcome.value as VersionResponse).runtimeVersion : ""
            return judge.hold("own.version", answer === parameters["expected"], () => `it is ${answer}`)
          }
        })
      }
      const report = yield* run({
        profile,
        operations: [...allOperations, version],
        only: ["own"],
        seed: 1,
        runs: 5,
        limitMs: 30_000,
        length: 10,
        maxFailures: 1,
        keepsDaemon: false,
        shrink: { attempts: 50, repeat: 1, limitMs: 30_000 },
        output: join(place, "out"),
        directory: join(place, "targets"),
        environment: {},
        first: [],
        write: () => Effect.void
      }).pipe(Effect.provide(services))
      assert.deepInclude(report.failures[0], { rule: "own.version", details: "it is 1", steps: 1 })
    })
  )

  it.live("has invariants of a project's own, after each step and at the end", () =>
    Effect.gen(function* () {
      const { profile, place } = yield* start("none")
      addRule("own.few", "there are two pods at most")
      let ends = 0
      const few: Invariant = {
        name: "few",
        after: "step",
        check: ({ target, judge }) =>
          Effect.flatMap(target.cri.call("listPodSandbox", { filter: undefined }), ({ items }) =>
            judge.hold("own.few", items.length <= 2, () => `there are ${items.length}`)
          )
      }
      const end: Invariant = { name: "end", after: "scenario", check: () => Effect.sync(() => void ends++) }
      const options = { profile, operations: allOperations, directory: place, environment: {}, invariants: [few, end] }
      const pod = { calls: [{ operation: "RunPod", parameters: {} }] }
      const runner = yield* makeRunner(options)
      assert.isUndefined((yield* runner.run([pod, pod])).violation)
      assert.strictEqual(ends, 1)
      const { violation } = yield* runner.run([pod, pod, pod])
      assert.deepInclude(violation, { rule: "own.few", details: "there are 3" })
    }).pipe(Effect.scoped, Effect.provide(services))
  )

  it.live("goes on where a deviation is known, and names it", () =>
    Effect.gen(function* () {
      const { profile, place } = yield* start("remove-twice")
      const known = [{ rule: "pod.remove.concurrent", reason: "of two one fails" }]
      const report = yield* run({
        profile: { ...profile, known },
        operations: allOperations,
        only: ["RemovePod"],
        seed: 1,
        runs: 8,
        limitMs: 30_000,
        length: 25,
        maxFailures: 1,
        keepsDaemon: false,
        shrink: { attempts: 0, repeat: 1, limitMs: 0 },
        output: join(place, "out"),
        directory: join(place, "targets"),
        environment: {},
        first: [],
        write: () => Effect.void
      }).pipe(Effect.provide(services))
      assert.deepStrictEqual(report.failures, [])
      assert.strictEqual(report.rules["pod.remove.concurrent"]?.known[0]?.reason, "of two one fails")
    })
  )
})
