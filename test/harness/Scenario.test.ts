import { assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { readdirSync, readFileSync } from "node:fs"
import { oneByOne } from "../../src/harness/compare.ts"
import { allOperations, chooseOperations, implementedOperations } from "../../src/harness/operations.ts"
import { isRule } from "../../src/harness/Rules.ts"
import { decodeScenario, drawScenario, type Step } from "../../src/harness/Scenario.ts"
import { onlyDone, simplerScenarios, simplify } from "../../src/harness/Shrink.ts"

const options = { operations: allOperations, length: 30, canKill: true }

const seeds = `${import.meta.dirname}/seeds`

describe("a scenario", () => {
  it("is the same for the same seed, and another one for another", () => {
    assert.deepStrictEqual(drawScenario(7, options), drawScenario(7, options))
    assert.notDeepEqual(drawScenario(7, options), drawScenario(8, options))
  })

  it("begins with a pod and a container, names operations that there are, and stays within its length", () => {
    const names = new Set(allOperations.map(({ name }) => name))
    for (let seed = 0; seed < 50; seed++) {
      const steps = drawScenario(seed, options)
      const first = steps.slice(0, 3).map(({ calls }) => calls[0]?.operation)
      assert.deepStrictEqual(first, ["RunPod", "Create", "Start"])
      assert.isAtMost(steps.length, 33)
      for (const { calls } of steps) for (const { operation } of calls) assert.isTrue(names.has(operation))
    }
  })

  it("draws every operation and every interruption, and no end of a daemon that cannot be started", () => {
    const drawn = new Set<string>()
    for (let seed = 0; seed < 200; seed++) {
      for (const { calls, interruption, twin } of drawScenario(seed, options)) {
        for (const { operation } of calls) drawn.add(operation)
        drawn.add(interruption?.kind ?? (twin === true ? "twin" : "plain"))
      }
      for (const { interruption } of drawScenario(seed, { ...options, canKill: false })) {
        assert.include([undefined, "cancel"], interruption?.kind)
      }
    }
    const expected = [...allOperations.map(({ name }) => name), "cancel", "kill", "terminate", "twin", "plain"]
    assert.sameMembers([...drawn], expected)
  })

  it("leaves out what is not asked for and what the target does not implement", () => {
    const names = chooseOperations(allOperations, ["exec"]).map(({ name }) => name)
    assert.sameMembers(names, ["RunPod", "Create", "Start", "Exec"])
    const without = implementedOperations(allOperations, (rpc) => rpc !== "updateContainerResources")
    assert.isFalse(without.some(({ name }) => name === "Update"))
    assert.strictEqual(without.length, allOperations.length - 1)
  })

  it("that is no scenario is refused with what is wrong", () => {
    const refused = decodeScenario("file", '{"version":1,"profile":"x","seed":1,"steps":[{"calls":3}]}')
    assert.isTrue(Result.isFailure(refused))
    assert.match(Result.isFailure(refused) ? refused.failure.message : "", /^file: [^]*calls/)
  })

  for (const name of readdirSync(seeds)) {
    it(`of ${name} can be read, says what was found, and names operations that there are`, () => {
      const scenario = Result.getOrThrow(decodeScenario(name, readFileSync(`${seeds}/${name}`, "utf8")))
      assert.isTrue(isRule(scenario.rule ?? ""))
      assert.isNotEmpty(scenario.note)
      const names = allOperations.map((operation) => operation.name)
      for (const { calls } of scenario.steps) for (const { operation } of calls) assert.include(names, operation)
    })
  }
})

const call = (operation: string, number = 0) => ({ operation, parameters: { number } })

/** The steps that are left when simpler scenarios that still fail are taken; none of those that are left over fails. */
const shrunk = (steps: ReadonlyArray<Step>, fails: (steps: ReadonlyArray<Step>) => boolean): ReadonlyArray<Step> => {
  const attempt = (simpler: ReadonlyArray<Step>) => Effect.succeed(fails(simpler) ? simpler : undefined)
  const smallest = Effect.runSync(simplify(steps, attempt))
  assert.isFalse([...simplerScenarios(smallest)].some(fails))
  return smallest
}

describe("simpler scenarios", () => {
  const long: ReadonlyArray<Step> = [
    { calls: [call("a", 9)] },
    { calls: [call("b", 3), call("c", 200)] },
    { calls: [call("d")], interruption: { kind: "kill", afterMs: 120 } },
    { calls: [call("e")], twin: true },
    { calls: [call("c", 17)] }
  ]
  const has = (steps: ReadonlyArray<Step>, name: string) =>
    steps.some(({ calls }) => calls.some((one) => one.operation === name))

  it("are all different from the first, and none of them has more calls", () => {
    const size = (steps: ReadonlyArray<Step>) => steps.flatMap(({ calls }) => calls).length
    for (const steps of simplerScenarios(long)) {
      assert.notDeepEqual(steps, long)
      assert.isAtMost(size(steps), size(long))
    }
  })

  it("lead to the one step that matters, alone and with small numbers", () => {
    assert.deepStrictEqual(
      shrunk(long, (steps) => has(steps, "c")),
      [{ calls: [call("c", 0)] }]
    )
  })

  it("keep what happens at the same time, the interruption and the number, where they matter", () => {
    const atOnce = (steps: ReadonlyArray<Step>) =>
      steps.some(({ calls }) => calls.length === 2 && Number(calls[1]?.parameters["number"]) > 100)
    assert.deepStrictEqual(shrunk(long, atOnce), [{ calls: [call("b", 0), call("c", 101)] }])
    const killed = (steps: ReadonlyArray<Step>) => steps.some(({ interruption }) => (interruption?.afterMs ?? 0) >= 30)
    assert.deepStrictEqual(shrunk(long, killed), [{ calls: [], interruption: { kind: "kill", afterMs: 30 } }])
    const twins = (steps: ReadonlyArray<Step>) => steps.some(({ twin }) => twin === true)
    assert.deepStrictEqual(shrunk(long, twins), [{ calls: [call("e")], twin: true }])
  })

  it("end, whatever fails", () => {
    assert.deepStrictEqual(
      shrunk(long, () => true),
      []
    )
  })

  it("are not tried for ever, and each of them once when none breaks", () => {
    let tried = 0
    const attempt = () => Effect.sync(() => void tried++ as undefined)
    Effect.runSync(simplify(long, attempt))
    assert.strictEqual(tried, [...simplerScenarios(long)].length)
    const goesOn = Effect.sync(() => tried++ < 3)
    tried = 0
    let attempts = 0
    Effect.runSync(simplify(long, (steps) => Effect.sync(() => (attempts++, steps)), goesOn))
    assert.strictEqual(attempts, 3)
  })

  it("have only the steps that did something", () => {
    assert.deepStrictEqual(
      onlyDone(long, new Set([0, 4])),
      long.filter((_, index) => index === 0 || index === 4)
    )
  })

  it("one by one there is nothing at the same time and no interruption", () => {
    assert.deepStrictEqual(
      oneByOne(long).map(({ calls, ...rest }) => [calls.length, rest]),
      Array.from({ length: 6 }, () => [1, {}])
    )
  })
})
